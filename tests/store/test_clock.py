"""The guest's clock as read from the log, against QEMU's own: each snapshot that QEMU saves notes its clock."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.results import Where
from rrdbg.model.timeline.clock import GuestClock
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.clock import read_clock
from tests.conftest import record
from tests.recordings import fresh_copy

PLACES = 25


@pytest.fixture(autouse=True)
def whole_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU writes its clock down only where it saves a whole snapshot into an image."""
    monkeypatch.setenv("RRDBG_SNAPSHOTS", "loadvm")


async def compare(recording: Path, seed: int) -> list[tuple[int, int]]:
    """At random places, what we take QEMU's virtual clock for and what it is, in nanoseconds."""
    pairs = []
    rng = random.Random(seed)
    async with await Replay.open(recording) as replay:
        clock = read_clock(replay.recording.layout.log, replay.recording.manifest.invocation)
        for _ in range(PLACES):
            place = replay.timeline.deliveries.plain_at_or_before(rng.randrange(replay.timeline.end.icount))
            await replay.seek(Position(place))
            snapshot = await replay.snapshot()
            pairs.append((clock.elapsed(Position(snapshot.icount)), qemus_clock(recording / snapshot.files[0])))
    return pairs


def qemus_clock(file: Path) -> int:
    """QEMU's virtual clock in nanoseconds, when it saved the snapshot in ``file``."""
    (saved,) = json.loads(subprocess.check_output(("qemu-img", "info", "-U", "--output=json", str(file))))["snapshots"]
    seconds, rest = saved["vm-clock-sec"], saved["vm-clock-nsec"]
    assert isinstance(seconds, int)
    assert isinstance(rest, int)
    return seconds * 10**9 + rest


async def test_it_is_qemus_clock_to_the_nanosecond(workload: Path, tmp_path: Path) -> None:
    copy = fresh_copy(workload, tmp_path / "copy")
    pairs = await compare(copy, 1)
    assert [ours for ours, _ in pairs] == [qemus for _, qemus in pairs]
    async with await Replay.open(copy) as replay:
        assert len(read_clock(replay.recording.layout.log, replay.recording.manifest.invocation).icounts) > 5


def test_with_a_rate_that_qemu_adapts_it_is_about_right(workload_guest: Path, tmp_path: Path) -> None:
    recording = record(workload_guest, tmp_path / "auto", shift="auto")
    for ours, qemus in asyncio.run(compare(recording, 2)):
        assert abs(ours - qemus) < 150_000_000  # QEMU's clock may be 100 ms from the host's


async def test_times_are_positions(workload: Path) -> None:
    async with await Replay.open(workload) as replay:
        session = Session(replay)

        async def when(line: str) -> Where:
            _ = [result async for result in COMMANDS.run(session, line)]
            (where,) = [result async for result in COMMANDS.run(session, "when")]
            assert isinstance(where, Where)
            return where

        clock = await session.clock()
        where = await when("seek 100ms")
        assert where.time
        assert where.time.exact
        assert 0 <= where.time.elapsed - 100_000_000 < 32
        later = await when("seek +50us")
        assert later.time
        assert 0 <= later.time.elapsed - where.time.elapsed - 50_000 < 32
        moment = clock.base + timedelta(milliseconds=200)
        assert abs((await when(f"seek {moment:%Y-%m-%dT%H:%M:%S.%f}")).position.icount - 6_200_000) < 400_000
        assert (await when("seek 0s")).position == START
        for wrong in ("seek 1999-12-31T23:59", "seek 99s", "seek -1us", "seek 2026-13-01T00:00"):
            with pytest.raises(UsageError, match=r"never shows|is not a time"):
                _ = [result async for result in COMMANDS.run(session, wrong)]


def test_the_clock_jumps_where_the_guest_halts() -> None:
    base = datetime(2026, 11, 22, 10, tzinfo=UTC)
    clock = GuestClock(base, 32)
    clock.icounts.append(1000)
    clock.times.append(1_000_000)
    end = Position(2000)
    assert clock.elapsed(Position(1000)) == 32_000
    assert clock.elapsed(Position(1000, 1)) == 1_000_000
    assert clock.elapsed(Position(1001)) == 1_000_032
    assert clock.find(32_000, end) == Position(1000)
    assert clock.find(500_000, end) == Position(1001)
    assert clock.find(10**12, end) == end
    assert clock.at(Position(1001)) == base + timedelta(milliseconds=1)


def test_every_time_is_found_again() -> None:
    clock = GuestClock(datetime(2026, 11, 22, tzinfo=UTC), 8)
    end = Position(10_000)
    for icount in range(0, 10_001, 37):
        assert clock.read(f"{icount * 8 / 1000:.3f}us", here=START, end=end) == Position(icount)
