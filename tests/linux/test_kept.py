"""What is found of Linux is kept: for the session where a recording is read-only, and for all where many have it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rrdbg.engine.linux import kernel as search
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.kernel import symbols_kept
from rrdbg.engine.linux.switches import SwitchFinder
from rrdbg.engine.machines.progress import OneBar
from rrdbg.engine.replay import Replay
from rrdbg.frontends.shared.symbol_lines import symbol_lines
from rrdbg.model.timeline.position import Position
from rrdbg.store.linux_file import load_kernel
from rrdbg.store.recording import Recording
from rrdbg.store.switches_file import load_switches

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]

_FOUND = ("linux.json", "kernel.elf", "switches.json")
_COMPUTED = (*_FOUND, "timeline.json", "hits.json", "seal.json", "ram", "*.state", "*.pages", "*disk*.qcow2")


@pytest.fixture
def unknown(tasks_recording: Path, tmp_path: Path) -> Path:
    """A copy of the recording as it was made: nothing is known of it yet."""
    return Path(shutil.copytree(tasks_recording, tmp_path / "copy", ignore=shutil.ignore_patterns(*_COMPUTED)))


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Position]:
    """The positions at which a kernel was looked for."""
    places: list[Position] = []
    look = search._look

    async def noted(replay: Replay, place: Position) -> search.FoundKernel | None:
        places.append(place)
        return await look(replay, place)

    monkeypatch.setattr(search, "_look", noted)
    return places


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Position, Position]]:
    """The stretches in which switches were looked for."""
    stretches: list[tuple[Position, Position]] = []
    look = SwitchFinder._pass

    def noted(finder: SwitchFinder, start: Position, end: Position, bar: OneBar) -> object:
        stretches.append((start, end))
        return look(finder, start, end, bar)

    monkeypatch.setattr(SwitchFinder, "_pass", noted)
    return stretches


def files(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()} - {"lock", "lock.beside", "lock.turn"}


async def test_where_nothing_can_be_written_it_is_kept_for_the_session(
    unknown: Path,
    tasks_recording: Path,
    looked: list[Position],
    passes: list[tuple[Position, Position]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The tests may run as root, to whom no directory is read-only.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    before = files(unknown)
    with Recording.peek(tasks_recording) as recording:
        known = load_kernel(recording)
    assert known
    assert known.kernel
    async with await Replay.open(unknown) as replay:
        assert not replay.recording.writable
        (line,) = await symbol_lines(replay, None)
        symbols = symbols_kept(replay.recording)
        assert symbols
        assert line == f"file {symbols}"
        assert symbols.read_bytes() == (tasks_recording / "kernel.elf").read_bytes()
        told = [record.message for record in caplog.records if "read-only" in record.message]
        assert told == [f"{unknown} is read-only, so what is found here is not kept."]
        count = len(looked)
        assert count
        start = known.kernel.seen
        end = Position(start.icount + 60_000_000)
        for number in range(2):
            guest = LinuxGuest(replay)
            found = await guest.look()
            assert found
            assert (found.banner, found.base) == (known.kernel.banner, known.kernel.base)
            await (await guest.switches()).ensure(start, end)
            assert guest.task_at(Position(end.icount - 1))
            assert len(passes) == 1, number
        assert len(looked) == count, "it was not looked for again"
        assert load_switches(replay.recording).covered == ((start, end),)
        told = [record.message for record in caplog.records if "read-only" in record.message]
        assert len(told) == 1
    assert not symbols.exists()
    assert files(unknown) == before


@pytest.mark.matrix  # 20 s
async def test_who_works_beside_keeps_what_he_finds_for_all(
    unknown: Path, looked: list[Position], passes: list[tuple[Position, Position]]
) -> None:
    async with await Replay.open(unknown) as first, await Replay.open(unknown) as beside:
        assert (first.recording.first, beside.recording.first) == (True, False)
        theirs, ours = LinuxGuest(beside), LinuxGuest(first)
        kernel = await theirs.look()
        assert kernel
        count = len(looked)
        assert await ours.look() == kernel
        assert len(looked) == count
        # Each looks at a part, and has the other's, too; where that is learned from is learned once.
        start, middle, end = (Position(kernel.seen.icount + many * 1_000_000) for many in (0, 50, 60))
        await (await theirs.switches()).ensure(start, middle)
        await (await ours.switches()).ensure(start, end)
        assert passes == [(start, middle), (middle, end)]
        known = await (await theirs.switches()).ensure(start, end)
        assert len(passes) == 2
        assert known.covered == ((start, end),)
        assert load_switches(first.recording) == load_switches(beside.recording) == known
        assert len({switch.task.pid for switch in known.switches}) > 2
    assert {"linux.json", "kernel.elf", "switches.json"} <= files(unknown)
    async with await Replay.open(unknown) as later:
        assert await LinuxGuest(later).look()
        assert LinuxGuest(later).task_at(known.switches[-1].position) == known.switches[-1].task
        assert len(looked) == count
