"""A request to end that QEMU noted where the running slice began comes behind it; all else in a log stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrdbg.store.logend import put_end_right
from rrdbg.store.logformat import Kind, Shutdown
from rrdbg.store.replaylog import summarise
from tests.store.logwriter import OLD, VERSIONS, Item, write_log

QUIT, KILLED, OFF = (
    (Kind.SHUTDOWN, Shutdown(0, cause)) for cause in ("host-qmp-quit", "host-signal", "guest-shutdown")
)


def ran(count: int) -> Item:
    return Kind.INSTRUCTION, count


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("after", [[1 << 26], [1 << 26, 12, 7]])
@pytest.mark.parametrize("last", [[KILLED], []])
def test_the_end_is_where_the_guest_was(version: int, after: list[int], last: list[Item], tmp_path: Path) -> None:
    log = tmp_path / "log"
    before = [ran(100), (Kind.INTERRUPT, None)]
    log.write_bytes(write_log(version, [*before, QUIT, *map(ran, after), *last]))
    summary = put_end_right(log, summarise(log))
    assert log.read_bytes() == write_log(version, [*before, *map(ran, after), QUIT, *last])
    assert summary == summarise(log)
    assert summary.shutdown is not None
    assert summary.shutdown.icount == summary.total == 100 + sum(after)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("begun", [0, 100])
def test_a_guest_ends_where_it_powered_off(version: int, begun: int, tmp_path: Path) -> None:
    """As QEMU 10.0 logs it; it goes on for a while until it is stopped."""
    log = tmp_path / "log"
    before: list[Item] = [ran(begun), (Kind.INTERRUPT, None)] if begun else []
    after = [(Kind.CHECKPOINT_CLOCK_WARP_ACCOUNT, None), QUIT, ran(1 << 26), KILLED]
    log.write_bytes(write_log(version, [*before, OFF, ran(4118), *after]))
    summary = put_end_right(log, summarise(log))
    assert log.read_bytes() == write_log(version, [*before, ran(4118), OFF, *after])
    assert summary == summarise(log)
    assert summary.shutdown is not None
    assert summary.shutdown.icount == begun + 4118


@pytest.mark.parametrize(
    "items",
    [
        [ran(5), QUIT, KILLED],
        [ran(5), OFF, QUIT, ran(9), KILLED],
        [ran(5), QUIT, ran(9), (Kind.INTERRUPT, None), ran(9), KILLED],
        [ran(5), QUIT, (Kind.CHECKPOINT_CLOCK_HOST, None), ran(9), KILLED],
    ],
    ids=["in time", "the guest's own end first", "an interrupt follows", "a checkpoint follows"],
)
def test_another_log_stays(items: list[Item], tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(write_log(OLD, items))
    before = summarise(log)
    assert put_end_right(log, before) == before
    assert log.read_bytes() == write_log(OLD, items)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clock=st.sampled_from([0x0C, 0x0C00, 0x0C0000000C0C, 0x0C00000000070E27]),
    counts=st.lists(st.just(7), min_size=1, max_size=4),
)
def test_a_number_that_looks_like_one(clock: int, counts: list[int], tmp_path: Path) -> None:
    """The payload before the request, and the counts after it, may hold its byte."""
    log = tmp_path / "log"
    head = [ran(3), (Kind.CLOCK_HOST, clock)]
    tail = [ran(count) for count in (*counts, 0x0C000000, 0x0C0C)]
    log.write_bytes(write_log(OLD, [*head, QUIT, *tail, KILLED]))
    summary = put_end_right(log, summarise(log))
    assert log.read_bytes() == write_log(OLD, [*head, *tail, QUIT, KILLED])
    assert summary == summarise(log)
