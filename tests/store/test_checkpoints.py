"""The fast pass over checkpoints tells what the whole log tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.errors import LogError
from rrdbg.store.checkpoints import Mark, thinned
from rrdbg.store.clock import MARKS, jumps
from rrdbg.store.logevents import events
from rrdbg.store.logformat import Kind
from rrdbg.store.replaylog import DamagedLog, summarise
from tests.store.logwriter import OLD, VERSIONS, Item, write_log
from tests.store.test_replaylog import CHECKPOINTS, one_of_each, pairs, patient, recordings


@st.composite
def busy_clocks(draw: st.DrawFn) -> tuple[int, list[Item]]:
    """A log that mostly has what the clock is read from, in single events and in long runs."""
    reading = st.tuples(st.just(Kind.CLOCK_VIRTUAL_RT), st.integers(0, 1 << 40))
    mark = st.sampled_from([kind for kind in MARKS if kind in CHECKPOINTS])
    single = st.one_of(
        reading, st.tuples(mark, st.none()), st.tuples(st.just(Kind.INSTRUCTION), st.integers(0, 1 << 20))
    )
    run = st.builds(pairs, st.integers(1, 9), st.integers(0, 1 << 31), st.sampled_from(CHECKPOINTS))
    pieces = draw(st.lists(st.one_of(single.map(lambda item: [item]), run), max_size=60))
    return draw(st.sampled_from(VERSIONS)), [item for piece in pieces for item in piece]


def all_marks(path: Path) -> list[Mark]:
    return [(event.icount, event.kind, event.data) for event in events(path, MARKS)]  # type: ignore[misc]


def two_of_each_row(marks: Iterable[Mark]) -> list[Mark]:
    kept: list[Mark] = []
    for (_, reading), row in groupby(marks, lambda mark: (mark[1], mark[2])):
        kept += list(row)[: None if reading is not None else 2]
    return kept


@patient
@given(recording=st.one_of(busy_clocks(), recordings()))
def test_it_leaves_out_only_repetitions(log: Callable[[bytes], Path], recording: tuple[int, list[Item]]) -> None:
    path = log(write_log(*recording))
    found = list(thinned(path, MARKS))
    assert two_of_each_row(found) == two_of_each_row(all_marks(path))
    assert jumps(found, 32) == jumps(all_marks(path), 32)


def test_a_long_row_is_two(log: Callable[[bytes], Path]) -> None:
    path = log(write_log(OLD, pairs(9000, 1, Kind.CHECKPOINT_CLOCK_WARP_ACCOUNT)))
    found = list(thinned(path, MARKS))
    assert found[:2] == all_marks(path)[:2]
    assert len(found) <= 2 * (9000 // 4096 + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_damage_is_told_as_elsewhere(log: Callable[[bytes], Path], version: int) -> None:
    whole = write_log(version, one_of_each(version))
    for cut in range(12, len(whole)):
        path = log(whole[:cut])
        with pytest.raises(DamagedLog) as expected:
            summarise(path)
        with pytest.raises(DamagedLog) as damage:
            list(thinned(path, MARKS))
        assert str(damage.value) == str(expected.value)
    with pytest.raises(LogError, match="no event id"):
        list(thinned(log(whole[:-1] + b"\xff"), MARKS))
