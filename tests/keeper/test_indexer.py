"""Index passes: every snapshot proved, bad ones found, and nothing broken by an end at any moment."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.machines.blank import Blank
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.indexer import Indexed, IndexProgress, index
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import RecordingError
from rrdbg.links import watchdog
from rrdbg.links.mapped_ram import MappedRam
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.layout import Layout
from rrdbg.store.page_table import read_table
from rrdbg.store.pages import PAGE, Pages, page_sum
from rrdbg.store.ram_block import known_block
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import clean, load_timeline
from tests.forward import from_start
from tests.keeper.conftest import Run
from tests.keeper.test_keeper import AT_THE_START, DENSE, files_of, listed
from tests.processes import qemus_in, wait_until_gone

pytestmark = pytest.mark.usefixtures("even")

FREE_RAM = 0xF0_0000
"""A physical address, also a virtual one, that workload does not use."""


def timeline_of(recording: Path) -> Timeline:
    with Recording.open(recording) as opened:
        return load_timeline(opened)


def test_all_snapshots_are_proved_and_said_to_be(run: Run[Any], copied: Path) -> None:
    seen: list[IndexProgress] = []
    indexed: Indexed = run(index(copied, spacing=DENSE, on_progress=seen.append))
    timeline = timeline_of(copied)
    assert indexed.snapshots == len(timeline.snapshots) > 3
    assert indexed.proved == indexed.snapshots
    assert indexed.unsound == ()
    assert all(snapshot.sound for snapshot in timeline.snapshots)
    assert timeline.cost.measured == timeline.end.icount
    assert indexed.size == sum(snapshot.size for snapshot in timeline.snapshots)
    assert files_of(copied) == listed(timeline)
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares)
    assert seen[-1].icount == timeline.end.icount


@pytest.mark.parametrize("long", [1, 16, 1 << 30])
def test_a_blank_becomes_what_is_wanted_whatever_it_waited_with(
    run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch, long: int
) -> None:
    """While it waits it is given the memory of the snapshot that was wanted last; the checksums are of all RAM.

    All of that may be mapped, or only ``long`` pieces.
    """
    monkeypatch.setattr("rrdbg.store.pages.LONG", long)
    prepared: list[int] = []
    hold = Blank.hold

    def noted(self: Blank, table: array[int], pages: Pages, most: int | None = None) -> None:
        hold(self, table, pages, most)
        if most is not None:
            prepared.append(self.machine.process.pid)

    async def check() -> None:
        await index(copied, spacing=DENSE)
        with Recording.open(copied) as recording:
            launcher, timeline = await Launcher.create(recording), load_timeline(recording)
            known = [snapshot for snapshot in timeline.snapshots if snapshot.mapped]
            order = random.Random(3)
            used = []
            try:
                launcher.keep_stocked(2)
                for snapshot in [*known, *order.choices(known, k=8)]:
                    assert launcher._mapping
                    assert launcher._mapping._stocking
                    await asyncio.wait((launcher._mapping._stocking,))
                    walker, _ = await launcher.start(snapshot, timeline)
                    try:
                        assert await launcher.digest(walker) == snapshot.digest, f"at {snapshot.icount:,}"
                        used.append(walker.machine.process.pid)
                    finally:
                        await walker.machine.close()
            finally:
                await launcher.close()
            assert len(set(used) & set(prepared)) == len(used) - 2, "all but the first two"

    monkeypatch.setattr(Blank, "hold", noted)
    run(check())
    assert not qemus_in(copied)


def test_what_begins_with_a_snapshot_saves_what_the_pass_from_the_start_has_saved(
    run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of its RAM is mapped from what the recording keeps, and what the guest then writes is saved, too."""
    mapped: list[int] = []
    map_over = MappedRam.map

    def noted(self: MappedRam, file: int, pieces: Sequence[tuple[int, int, int]]) -> bool:
        mapped.append(sum(count for _, _, count in pieces))
        found: bool = map_over(self, file, pieces)
        return found

    async def check() -> None:
        await index(copied, spacing=DENSE)
        with Recording.open(copied) as recording:
            launcher, timeline = await Launcher.create(recording), load_timeline(recording)
            known = [snapshot for snapshot in timeline.snapshots if snapshot.mapped]
            assert len(known) > 4
            pages = pages_of(copied)
            try:
                for first, *later in (known, known[1:], known[3:]):
                    walker, _ = await launcher.start(first, timeline, saving=True)
                    try:
                        for snapshot in later[:3]:
                            await walker.run_to(snapshot.icount)
                            saved = await (await launcher.save(walker, SnapshotKind.NAMED, digest=True))
                            assert saved.digest == snapshot.digest, f"{first.icount:,} to {snapshot.icount:,}"
                            now, then = (read_table(copied / each.files[1], pages) for each in (saved, snapshot))
                            assert now == then
                    finally:
                        await walker.machine.close()
            finally:
                await launcher.close()

    monkeypatch.setattr(MappedRam, "map", noted)
    monkeypatch.setattr("rrdbg.store.pages.LONG", 1)
    run(check())
    assert sum(mapped) > 50, "pages"


def test_a_pass_maps_what_it_has_kept_and_keeps_what_a_run_from_the_start_has(
    run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest with much memory is compared where it has written since; one with little, too, if it is told to."""

    async def check() -> None:
        with Recording.open(copied) as recording:
            launcher, timeline = await Launcher.create(recording), load_timeline(recording)
            try:
                walker, _ = await launcher.start(timeline.snapshots[0], timeline)
                for snapshot in timeline.snapshots[1:]:
                    await walker.run_to(snapshot.icount)
                    assert await launcher.digest(walker) == snapshot.digest, f"at {snapshot.icount:,}"
                await walker.machine.close()
            finally:
                await launcher.close()

    with monkeypatch.context() as patch:
        patch.setattr("rrdbg.store.pages.LONG", 1)
        patch.setattr("rrdbg.engine.machines.live_ram._MUCH", 0)
        indexed: Indexed = run(index(copied, spacing=DENSE))
    assert indexed.proved == indexed.snapshots > 4
    run(check())


def pages_of(recording: Path) -> int:
    block = known_block(Layout(recording))
    assert block
    return block.pages


def test_a_pass_whose_qemu_hangs_begins_anew(
    run: Run[Any], copied: Path, hung: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    indexed: Indexed = run(index(copied, spacing=DENSE))
    assert len(hung) == 1
    assert indexed.proved == indexed.snapshots > 3
    assert indexed.unsound == ()
    assert "The pass begins anew" in caplog.text


def test_a_second_pass_keeps_and_proves_what_is_there(run: Run[Any], copied: Path) -> None:
    run(index(copied, spacing=DENSE, prove=False))
    before = timeline_of(copied).snapshots
    assert not any(snapshot.sound for snapshot in before[1:])
    run(index(copied, spacing=60))
    after = timeline_of(copied).snapshots
    assert [item.icount for item in after] == [item.icount for item in before]
    assert all(snapshot.sound for snapshot in after)


STANDS_STILL = "faf4"
"""``cli`` and ``hlt``."""


@pytest.mark.parametrize("name", [pytest.param("", marks=pytest.mark.matrix), "mine"])
def test_snapshots_that_qemu_loads_whole_become_mapped_ones(
    run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("RRDBG_SNAPSHOTS", "loadvm")

    async def make() -> None:
        async with await Replay.open(copied, spacing=DENSE) as replay:
            await replay.seek(replay.timeline.end)
            if name:
                await replay.snapshot(name)

    run(make())
    before = timeline_of(copied).snapshots
    assert len(before) > 2
    assert not any(snapshot.mapped for snapshot in before)
    monkeypatch.delenv("RRDBG_SNAPSHOTS")
    run(index(copied, spacing=60))
    after = timeline_of(copied).snapshots
    assert after[1].icount == 1, "one more"
    assert [(item.icount, item.kind, item.name) for item in (after[0], *after[2:])] == [
        (item.icount, item.kind, item.name) for item in before
    ]
    assert all(snapshot.mapped for snapshot in after[1:])
    assert all(snapshot.sound for snapshot in after)
    assert files_of(copied) == {name for snapshot in after for name in snapshot.files}


async def spoiled(recording: Path, kind: SnapshotKind, code: str | None = None) -> Snapshot:
    """Keep a snapshot in which one byte of RAM is not what it was, or in which ``code`` comes next."""
    with Recording.open(recording) as opened:
        launcher = await Launcher.create(opened)
        keeper = Keeper(launcher, Shelf(launcher, load_timeline(opened)), spacing=60)
        icount = keeper.timeline.landing_before(Position(keeper.timeline.end.icount // 2))
        walker, _ = await launcher.start(keeper.timeline.snapshots[0], keeper.timeline)
        try:
            await walker.run_to(icount)
            place, content = (await walker.machine.pc(), code) if code else (FREE_RAM, "5a")
            answer = await walker.machine._ask(f"M{place:x},{len(content) // 2}:{content}")
            assert answer == b"OK"
            return await keeper.save(walker, kind)
        finally:
            await walker.machine.close()
            await launcher.close()


@pytest.mark.parametrize("kind", [SnapshotKind.PERIODIC, SnapshotKind.NAMED])
def test_a_snapshot_that_is_not_what_the_guest_was_is_found(run: Run[Any], copied: Path, kind: SnapshotKind) -> None:
    bad: Snapshot = run(spoiled(copied, kind))
    indexed: Indexed = run(index(copied, spacing=60))
    (found,) = indexed.unsound
    assert found.snapshot.icount == bad.icount
    assert "registers or RAM differ" in found.reason
    kept = timeline_of(copied).snapshot_at(bad.icount)
    if kind is SnapshotKind.NAMED:
        assert kept
        assert kept.sound is False
    else:
        assert kept is None
        assert files_of(copied) == AT_THE_START


@pytest.mark.parametrize("kind", [SnapshotKind.PERIODIC, SnapshotKind.NAMED])
def test_who_derails_from_one_that_nobody_proved_starts_from_another(
    run: Run[Any], copied: Path, kind: SnapshotKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE_SECONDS", 1.0)
    bad: Snapshot = run(spoiled(copied, kind, STANDS_STILL))

    async def check() -> None:
        async with from_start(copied) as walker:
            target = walker.timeline.landing_before(Position(bad.icount + 5000))
            await walker.run_to(target)
            expected = await walker.machine.registers()
        async with await Replay.open(copied, spacing=60) as replay:
            await replay.seek(Position(target))
            assert await replay.registers() == expected
            kept = replay.timeline.snapshot_at(bad.icount)
            assert (kept and kept.sound) == (False if kind is SnapshotKind.NAMED else None)

    run(check())


def test_what_was_laid_on_the_way_is_proved_later(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        async with await Replay.open(copied, DENSE) as replay:
            await replay.seek(replay.timeline.end)
            unproved = [item for item in replay.timeline.snapshots if item.sound is None]
            assert len(unproved) > 2
            task = asyncio.create_task(replay.prove_next())
            await asyncio.wait((task,), timeout=0.1)
            task.cancel()
            await asyncio.wait((task,))
            rounds = 0
            while await replay.prove_next():
                rounds += 1
            assert rounds >= len(unproved) - 1
            assert all(item.sound for item in replay.timeline.snapshots)
            assert replay.position == replay.timeline.end

    run(check())


@pytest.mark.parametrize("kind", [SnapshotKind.PERIODIC, SnapshotKind.NAMED])
def test_a_bad_one_is_found_later_too(run: Run[Any], copied: Path, kind: SnapshotKind) -> None:
    bad: Snapshot = run(spoiled(copied, kind))

    async def check() -> None:
        async with await Replay.open(copied, spacing=60) as replay:
            assert await replay.prove_next()
            assert not await replay.prove_next()
            kept = replay.timeline.snapshot_at(bad.icount)
            assert (kept and kept.sound) == (False if kind is SnapshotKind.NAMED else None)

    run(check())


def test_an_interrupted_pass_keeps_what_it_made(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        enough = asyncio.Event()

        def watch(progress: IndexProgress) -> None:
            if progress.snapshots >= 3:
                enough.set()

        task = asyncio.create_task(index(copied, spacing=DENSE / 2, on_progress=watch))
        await asyncio.wait_for(enough.wait(), 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        timeline = timeline_of(copied)
        assert len(timeline.snapshots) >= 3
        assert files_of(copied) == listed(timeline)

    run(check())


def test_a_read_only_recording_cannot_be_indexed(run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, to whom no directory is read-only.
    monkeypatch.setattr("rrdbg.store.recording.os.access", lambda path, mode: False)
    with pytest.raises(RecordingError, match="read-only"):
        run(index(copied))


_INDEX = f"""\
import asyncio, sys
from pathlib import Path
from rrdbg.engine.snapshots.indexer import index

async def main():
    print(flush=True)
    tell = lambda progress: print(flush=True)
    await index(Path(sys.argv[1]), spacing={2 * DENSE}, prove=sys.argv[2] == "True", on_progress=tell)

asyncio.run(main())
"""
"""Writes a line as it begins, and for each progress: a busy host takes many times as long as a quiet one."""


KILLS = int(os.environ.get("RRDBG_KILLS", "12"))


@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_opens_again(run: Run[Any], workload: Path, tmp_path: Path) -> None:
    """50 times kill -9 somewhere in an index pass, each going on from what the last one left; a fifth proves, too."""
    recording = Path(shutil.copytree(workload, tmp_path / "workload"))
    reference = run(end_packet(recording))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)

    def index_process(prove: bool) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _INDEX, str(recording), str(prove)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    lines = {}
    for prove in (True, False):
        with index_process(prove) as process:
            assert process.stdout
            lines[prove] = len(list(process.stdout))
        assert process.returncode == 0
    survived = 0
    for number in range(KILLS):
        if number % 10 == 0:
            shutil.rmtree(recording)
            shutil.copytree(workload, recording)
        prove = number % 5 == 0
        with index_process(prove) as process:
            assert process.stdout
            for _ in itertools.islice(process.stdout, moments.randint(1, lines[prove])):
                pass
            time.sleep(moments.uniform(0, 0.02))  # between two of them, too
            process.kill()
        wait_until_gone(recording)
        with Recording.open(recording) as opened:
            timeline = clean(opened, load_timeline(opened))
        assert files_of(recording) == listed(timeline)
        survived = max(survived, len(timeline.snapshots))
        if number % 10 == 9:
            for snapshot in timeline.snapshots:
                check_whole(recording, snapshot)
            assert run(end_packet(recording)) == reference
    assert survived > 3


def check_whole(recording: Path, snapshot: Snapshot) -> None:
    """All that a snapshot consists of is there and can be read."""
    if snapshot.mapped:
        block = known_block(Layout(recording))
        assert block
        table = read_table(recording / snapshot.files[1], block.pages)
        pages = Pages(recording / "ram")
        for _, run, sums in pages.summed_runs(table, [range(len(table))]):
            for number, at in enumerate(range(0, len(run), PAGE)):
                assert sums[16 * number : 16 * number + 16] == page_sum(bytes(run[at : at + PAGE]))


async def end_packet(recording: Path) -> bytes:
    """The registers near the end, by the last snapshot there is."""
    async with await Replay.open(recording, spacing=60) as replay:
        await replay.seek(Position(replay.timeline.landing_before(replay.timeline.end)))
        return await (await replay.machine()).register_packet()


def test_a_budget_of_an_index_pass_is_kept(run: Run[Any], copied: Path) -> None:
    unlimited: Indexed = run(index(copied, spacing=DENSE, prove=False))
    before = timeline_of(copied).snapshots
    for snapshot in before[1:]:
        (copied / snapshot.files[0]).unlink()
    shutil.rmtree(copied / "ram")
    budget = before[0].size + (unlimited.size - before[0].size) * 2 // 3
    indexed: Indexed = run(index(copied, spacing=DENSE, budget=budget))
    assert indexed.size <= budget
    assert 2 <= indexed.snapshots < len(before)
    assert indexed.proved == indexed.snapshots
    kept = replace(timeline_of(copied))
    assert files_of(copied) == listed(kept)
