"""Snapshots that the keeper lays, thins, drops and finds again, on a real guest."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.live_ram import LiveRam
from rrdbg.engine.machines.mapping import Mapping, Taken
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.indexer import Indexed, index
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import Interrupted, RecordingError
from rrdbg.links.machine import Machine
from rrdbg.model.timeline.cost import CostMap, Piece
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.pages import Pages
from rrdbg.store.recording import Recording, adopt
from rrdbg.store.timeline_file import clean, load_timeline
from tests.keeper.conftest import Run
from tests.processes import qemus_in

AT_THE_START = {"snapshots/initial.qcow2", "snapshots/1.state", "snapshots/1.pages"}
"""The recording's own snapshot, and the one of ours just behind it."""

pytestmark = pytest.mark.usefixtures("even")

DENSE = 0.01
"""Seconds between snapshots; the whole recording takes 0.1 s, so it gets about ten."""


def files_of(recording: Path) -> set[str]:
    return {path.relative_to(recording).as_posix() for path in (recording / "snapshots").iterdir()}


def listed(timeline: Timeline) -> set[str]:
    return {name for snapshot in timeline.snapshots for name in snapshot.files}


def size(recording: Path) -> int:
    """Bytes that the snapshots take on disk, without the image that machines map."""
    files = [*(recording / "snapshots").iterdir(), recording / "ram/pages.bin", recording / "ram/pages.sum"]
    return sum(file.stat().st_blocks * 512 for file in files if file.exists())


async def to_the_end(recording: Path, budget: int | None = None) -> Timeline:
    async with await Replay.open(recording, DENSE, budget) as replay:
        await replay.seek(replay.timeline.end)
        return replay.timeline


def test_a_run_leaves_snapshots_and_costs(run: Run[Any], copied: Path) -> None:
    timeline: Timeline = run(to_the_end(copied))
    assert len(timeline.snapshots) >= 4
    assert all(timeline.deliveries.is_plain(snapshot.icount) for snapshot in timeline.snapshots)
    assert files_of(copied) == listed(timeline)
    assert timeline.cost.measured == timeline.end.icount
    gaps = [
        timeline.cost.seconds(low.icount, high.icount) for low, high in itertools.pairwise(timeline.snapshots)
    ]  # fmt: skip
    # A piece is less than half a gap, and one more may be needed.
    assert max(gaps) < 2 * DENSE
    with Recording.open(copied) as recording:
        again = load_timeline(recording)
    assert again.snapshots[1:] == timeline.snapshots[1:]
    assert again.cost.measured == timeline.cost.measured


def test_a_pass_gives_what_each_snapshot_can_be_proved_against(
    run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A little behind each, without a snapshot there: to prove it takes no run to the next one."""
    monkeypatch.setattr("rrdbg.engine.snapshots.keeper.PROOF_SECONDS", 0.01)
    seen: list[Snapshot] = []

    async def check() -> None:
        with Recording.open(copied) as recording:
            launcher = await Launcher.create(recording)
            try:
                shelf = Shelf(launcher, load_timeline(recording))
                keeper = Keeper(launcher, shelf, spacing=0.03, digests=True, on_snapshot=seen.append)
                walker, _ = await launcher.start(keeper.timeline.snapshots[0], keeper.timeline, saving=True)
                await keeper.advance(walker, keeper.timeline.end.icount, None)
                await walker.machine.close()
                kept = [snapshot for snapshot in seen if snapshot.files]
                assert [snapshot.icount for snapshot in kept] == [x.icount for x in keeper.timeline.snapshots[1:]]
                witnesses = [after for before, after in itertools.pairwise(seen) if before.files and not after.files]
                assert len(witnesses) >= 2
                assert [each.icount for each in seen] == sorted(each.icount for each in seen)
                for witness in witnesses:
                    again, _ = await launcher.start(keeper.timeline.snapshots[0], keeper.timeline)
                    await again.run_to(witness.icount)
                    assert await launcher.digest(again) == witness.digest
                    await again.machine.close()
                keeper.shelf.close()
            finally:
                await launcher.close()

    run(check())


def test_snapshots_lead_where_the_forward_run_led(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        async with await Replay.open(copied, DENSE) as replay:
            end = replay.timeline.end.icount
            places = [Position(replay.timeline.landing_before(Position(end * n // 8))) for n in range(1, 8)]
            forward = []
            for place in places:
                await replay.seek(place)
                forward.append(await (await replay.machine()).register_packet())
            assert len(replay.timeline.snapshots) > 3
            for place, packet in reversed(list(zip(places, forward, strict=True))):
                await replay.seek(place)
                assert await (await replay.machine()).register_packet() == packet

    run(check())


def test_a_qemu_that_hangs_as_it_saves_is_replaced(
    run: Run[Any], copied: Path, hung: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    timeline: Timeline = run(to_the_end(copied))
    assert len(hung) == 1, "no second snapshot is tried there"
    assert timeline.snapshot_at(hung[0]) is None
    assert len(timeline.snapshots) >= 4
    assert files_of(copied) == listed(timeline)
    assert "QEMU hung where a snapshot was to be saved" in caplog.text


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
def test_the_budget_is_kept(run: Run[Any], workload: Path, copied: Path, tmp_path: Path, share: float) -> None:
    other = Path(shutil.copytree(workload, tmp_path / "other"))
    run(to_the_end(copied))
    initial = (copied / "snapshots/initial.qcow2").stat().st_blocks * 512
    budget = int(initial + (size(copied) - initial) * share)
    timeline: Timeline = run(to_the_end(other, budget))
    assert timeline.snapshots[0].kind is SnapshotKind.INITIAL
    # What was dropped is a hole, but for the parts of blocks at its ends.
    assert size(other) <= budget + (64 << 10)
    assert files_of(other) == listed(timeline)
    assert (len(timeline.snapshots) > 1) == (share > 0)
    indexed: Indexed = run(index(other, spacing=60))
    assert indexed.unsound == (), "what was dropped is kept anew for those that need it, too"


def test_a_named_snapshot_outlives_any_budget(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        async with await Replay.open(copied, DENSE, budget=0) as replay:
            await replay.seek(Position(replay.timeline.landing_before(Position(replay.timeline.end.icount // 2))))
            await replay.snapshot("mine")
            await replay.seek(replay.timeline.end)
            assert [snapshot.name for snapshot in replay.timeline.snapshots[1:]] == ["mine"]

    run(check())


def expensive(timeline: Timeline, seconds: float) -> Timeline:
    """The timeline as if its whole replay took ``seconds``."""
    return replace(timeline, cost=CostMap((Piece(0, timeline.end.icount, seconds),)))


def test_one_jump_through_a_short_gap_leaves_none_and_many_do(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        async with await Replay.open(copied) as replay:
            keeper, end = replay._keeper, replay.timeline.end.icount
            keeper.shelf.timeline = expensive(replay.timeline, 1.0)
            assert [keeper.passes(0, end) for _ in range(4)] == [False, False, True, True]
            assert not keeper.passes(0, 1), "there is no gap"
            keeper.shelf.timeline = expensive(replay.timeline, 20.0)
            assert keeper.passes(end // 2, end), "it is long"

    run(check())


def test_going_back_twice_lays_a_ladder_that_goes_with_the_session(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        async with await Replay.open(copied, spacing=60) as replay:
            replay._keeper.shelf.timeline = expensive(replay.timeline, 20)
            await replay.seek(Position(replay.timeline.landing_before(Position(replay.timeline.end.icount * 3 // 4))))
            before = replay.position
            await replay.reverse_stepi()
            assert files_of(copied) == AT_THE_START
            await replay.reverse_stepi(2)
            ladder = replay.timeline.snapshots[2:]
            assert {snapshot.kind for snapshot in ladder} == {SnapshotKind.LADDER}
            distances = [before.icount - snapshot.icount for snapshot in ladder]
            assert all(far > 1.5 * near for far, near in itertools.pairwise(distances))
            assert replay.timeline.cost.seconds(ladder[-1].icount, before.icount) < 0.1
        assert files_of(copied) == AT_THE_START

    run(check())


def test_what_a_killed_session_left_is_swept_up(run: Run[Any], copied: Path) -> None:
    timeline: Timeline = run(to_the_end(copied))
    path = copied / "timeline.json"
    content = json.loads(path.read_bytes())
    content["snapshots"][0]["kind"] = "ladder"
    path.write_text(json.dumps(content))
    adopt(copied)
    (copied / "snapshots" / "123.qcow2").write_bytes(b"half a snapshot")
    (copied / ".timeline.json.abc").write_bytes(b"{")
    lost = timeline.snapshots[1]
    with Recording.open(copied) as recording:
        kept = clean(recording, load_timeline(recording))
    assert kept.snapshots[1:] == (*timeline.snapshots[2:],)
    assert files_of(copied) == listed(timeline) - set(lost.files)
    assert not list(copied.glob(".timeline*"))


def test_a_snapshot_that_cannot_be_loaded_is_gone_around(
    run: Run[Any], copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with await Replay.open(copied, DENSE) as replay:
            await replay.seek(replay.timeline.end)
            await replay.seek(Position(replay.timeline.landing_before(Position(replay.timeline.end.icount // 2))))
            named = await replay.snapshot("mine")
            behind = next(item for item in replay.timeline.snapshots if item.icount > named.icount)
            expected = {}
            for snapshot in (named, behind):
                await replay.seek(Position(snapshot.icount))
                expected[snapshot.icount] = await (await replay.machine()).register_packet()
        for snapshot in (named, behind):
            (copied / snapshot.files[0]).write_bytes(b"nonsense")
        adopt(copied)
        with caplog.at_level(logging.WARNING):
            for icount, packet in expected.items():
                # One that has a machine already may rather walk.
                async with await Replay.open(copied, DENSE) as replay:
                    await replay.seek(Position(icount))
                    assert await (await replay.machine()).register_packet() == packet
        warnings = [record for record in caplog.records if record.name.startswith("rrdbg")]
        assert len(warnings) == 2
        assert replay.timeline.snapshot_at(behind.icount) is None
        marked = replay.timeline.snapshot_at(named.icount)
        assert marked
        assert (marked.name, marked.sound) == ("mine", False)
        assert replay.timeline.nearest(named.icount) != marked

    run(check())


def test_several_machines_load_one_snapshot_and_others_at_once(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        async with await Replay.open(copied, DENSE) as replay:
            await replay.seek(replay.timeline.end)
            snapshots = replay.timeline.snapshots
            assert len(snapshots) > 3
        with Recording.open(copied) as recording:
            launcher = await Launcher.create(recording)
            timeline = load_timeline(recording)
            try:
                wanted: list[Snapshot] = [snapshots[1], snapshots[1], snapshots[2], snapshots[3], snapshots[0]]
                started = await asyncio.gather(*(launcher.start(snapshot, timeline) for snapshot in wanted))
                walkers = [walker for walker, _ in started]
                try:
                    assert [await walker.machine.icount() for walker in walkers] == [item.icount for item in wanted]
                    steps = await asyncio.gather(*(walker.step() for walker in walkers))
                    assert [step.before.icount for step in steps] == [item.icount for item in wanted]
                    packets = [await walker.machine.register_packet() for walker in walkers]
                    assert packets[0] == packets[1]
                    assert all(launcher.in_use(snapshot) for snapshot in wanted)
                finally:
                    await asyncio.gather(*(walker.machine.close() for walker in walkers))
                assert not any(launcher.in_use(snapshot) for snapshot in wanted)
            finally:
                await launcher.close()

    run(check())


def test_the_first_two_machines_may_be_started_at_once(run: Run[Any], copied: Path) -> None:
    async def check() -> None:
        with Recording.open(copied) as recording:
            launcher, timeline = await Launcher.create(recording), load_timeline(recording)
            launcher.keep_stocked(1)
            first = timeline.snapshots[0]
            started = await asyncio.gather(*(launcher.start(first, timeline, saving=True) for _ in range(2)))
            try:
                assert all(launcher.mapped_bytes(walker) is not None for walker, _ in started)
            finally:
                for walker, _ in started:
                    await walker.machine.close()
                await launcher.close()
            assert not qemus_in(copied)

    shutil.rmtree(copied / "ram", ignore_errors=True)
    run(check())


def test_a_start_that_is_given_up_leaves_no_machine(
    run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a start is when it is cancelled, the very moments at which a thread has its RAM among them."""

    async def check() -> None:
        loop = asyncio.get_running_loop()
        with Recording.open(copied) as recording:
            launcher, timeline = await Launcher.create(recording), load_timeline(recording)
            given_up: list[str] = []
            wanted: list[tuple[type, str, Snapshot]] = [
                (LiveRam, "give_back_zeros", timeline.snapshots[0]),
                (Pages, "runs", timeline.snapshots[1]),
            ]
            for owner, name, snapshot in wanted:
                starting = asyncio.create_task(launcher.start(snapshot, timeline))
                original = getattr(owner, name)

                def work(
                    *words: Any, original: Any = original, name: str = name, starting: Any = starting, **named: Any
                ) -> Any:
                    given_up.append(name)
                    loop.call_soon_threadsafe(starting.cancel)
                    return original(*words, **named)

                with monkeypatch.context() as patch:
                    patch.setattr(owner, name, work)
                    with pytest.raises(asyncio.CancelledError):
                        await starting
                assert given_up.pop() == name
                assert not qemus_in(copied)
            await launcher.close()

    run(to_the_end(copied))
    run(check())


def test_what_is_being_saved_when_a_movement_is_given_up_is_kept(
    run: Run[Any], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is written while the guest goes on, into the folder of its machine, which ends with the movement."""
    complaints: list[str] = []
    given_up: list[int] = []
    take = Mapping.take

    async def taken(self: Mapping, machine: Machine, icount: int) -> Taken:
        if len(given_up) == 1:  # the second one: the first is laid just behind the start
            moving[0].cancel()
        given_up.append(icount)
        return await take(self, machine, icount)

    moving: list[asyncio.Task[Any]] = []

    async def check() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, told: complaints.append(str(told)))
        async with await Replay.open(copied, DENSE) as replay:
            moving.append(asyncio.create_task(replay.seek(replay.timeline.end)))
            with pytest.raises((asyncio.CancelledError, Interrupted)):
                await moving[0]
            assert len(given_up) == 2
            assert {snapshot.icount for snapshot in replay.timeline.snapshots} == {0, *given_up}
        gc.collect()

    monkeypatch.setattr(Mapping, "take", taken)
    run(check())
    assert complaints == []


def test_a_timeline_of_a_newer_schema_is_refused_politely(copied: Path) -> None:
    (copied / "timeline.json").write_text(json.dumps({"schema": 99, "snapshots": [], "bookmarks": {}}))
    with Recording.open(copied) as recording, pytest.raises(RecordingError, match=r"newer rrdbg; update"):
        load_timeline(recording)
