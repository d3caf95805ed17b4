"""Accesses that QEMU's own watchpoints get wrong: by deliveries, by single steps, and at the end of a stretch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.engine.search.access import LOST_BY_DELIVERY
from rrdbg.engine.window import Window
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Stop, StopReason, WatchKind, Watchpoint
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.position import Position
from tests.conftest import record
from tests.engine.conftest import Run
from tests.engine.test_oracle import is_at
from tests.guests.build import symbol
from tests.oracle import Oracle, observe


def frames(oracle: Oracle, machine: Machine, kind: Delivery) -> list[tuple[int, int]]:
    """Deliveries of ``kind``: the stop that a step leads to, and where the interrupted rip was pushed."""
    found = []
    for index in range(1, len(oracle)):
        here, before = oracle[index].position, oracle[index - 1].position
        is_it = here.icount == before.icount if kind is Delivery.INTERRUPT else here.icount != before.icount
        if is_it and set(oracle.timeline.deliveries.at(here.icount)) == {kind}:
            found.append((index, machine.register_file.decode(oracle[index].packet)["rsp"]))
    return found


@pytest.mark.parametrize("kind", list(Delivery))
@pytest.mark.parametrize("watch", [pytest.param(WatchKind.WRITE, marks=pytest.mark.matrix), WatchKind.ACCESS])
def test_a_watchpoint_on_the_frame_that_a_delivery_pushes(
    run: Run[Any], replay: Replay, workload: Path, kind: Delivery, watch: WatchKind, request: pytest.FixtureRequest
) -> None:
    """QEMU breaks the delivery off to report it, and the replay derails or aborts; we go round it."""

    busy = request.getfixturevalue("busy" if kind is Delivery.INTERRUPT else "exceptional")

    async def check() -> None:
        index, slot = frames(busy, await replay.machine(), kind)[0]
        oracle = await observe(workload, busy[0].position.icount, len(busy) - 1, {slot: 8})
        assert oracle[index].position == busy[index].position
        await replay.seek(oracle[0].position)
        await replay.snapshot()
        replay.points.add_watchpoint(slot, 8, watch)
        # `watch` counts changes of value: the frame of the same code pushes the same rip again.
        writes = [i for i in oracle.changes(slot) if i < index]
        delivery = index - 1
        expected = delivery if watch is WatchKind.ACCESS or delivery in oracle.changes(slot) else writes[-1]
        await replay.seek(oracle[index].position)
        stop = await replay.reverse_cont()
        await is_at(replay, oracle, expected, stop)
        assert stop.reason is StopReason.WATCHPOINT
        await replay.seek(oracle[delivery].position)
        ahead = index if expected == delivery else next(i for i in oracle.changes(slot) if i >= delivery) + 1
        await is_at(replay, oracle, ahead, await replay.cont())
        # Those who watch only the step itself notice a change of value, and the replay goes on.
        replay.points.delete()
        await replay.seek(oracle[delivery].position)
        stop = await replay.step_watching([Watchpoint(99, slot, 8, watch)])
        changed = delivery in oracle.changes(slot)
        assert stop.reason is (StopReason.WATCHPOINT if changed else StopReason.STEP)
        await is_at(replay, oracle, index)
        await is_at(replay, oracle, index + 1, await replay.stepi())

    run(check())


def test_a_delivery_that_is_broken_off_is_noticed_from_afar(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    """The icount falls back by 65,535 then, which still lies ahead of where the run began."""

    async def check() -> None:
        index, slot = frames(busy, await replay.machine(), Delivery.INTERRUPT)[0]
        end = busy[index].position
        start = Position(replay.timeline.landing_before(Position(end.icount - LOST_BY_DELIVERY - 100)))
        hits = replay.scan([Watchpoint(99, slot, 8, WatchKind.ACCESS)], start, end)
        assert [hit.position async for hit in hits][-1] == end

    run(check())


def test_a_watched_single_step_stops_twice(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]
) -> None:
    """QEMU's next resume stops at once without any progress; steps must count instructions all the same."""
    counter = next(iter(watched))
    point = Watchpoint(99, counter, 8, WatchKind.ACCESS)

    async def check() -> None:
        for change in [index for index in busy.changes(counter) if index < len(busy) - 12][:10]:
            first = max(change - 5, 0)
            await replay.seek(busy[first].position)
            seen = []
            for index in range(first, first + 12):
                stop = await replay.step_watching([point])
                if stop.reason is StopReason.WATCHPOINT:
                    seen.append(index)
                await is_at(replay, busy, index + 1, stop)
            assert change in seen

    run(check())


def test_a_run_after_a_watched_single_step(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]
) -> None:
    counter = next(iter(watched))
    point = Watchpoint(99, counter, 8, WatchKind.ACCESS)

    async def check() -> None:
        for change in busy.changes(counter)[:20]:
            await replay.seek(busy[change].position)
            assert (await replay.step_watching([point])).reason is StopReason.WATCHPOINT
            target = busy[min(change + 100, len(busy) - 1)].position
            await is_at(replay, busy, busy.index(target), await replay.seek(target))

    run(check())


def test_the_window_counts_watched_steps(run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]) -> None:
    counter = next(iter(watched))
    point = Watchpoint(99, counter, 8, WatchKind.ACCESS)

    async def check() -> None:
        change = next(index for index in busy.changes(counter) if 10 <= index < len(busy) - 10)
        await replay.seek(busy[change + 10].position)
        window = Window(replay)
        for index in reversed(range(change - 10, change + 10)):
            reason, _ = await window.step_back([point])
            assert replay.position == busy[index].position
            if index == change:
                assert reason is StopReason.WATCHPOINT
        await is_at(replay, busy, change - 10)

    run(check())


def test_reads_one_by_one(run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]) -> None:
    """``rwatch`` back over a stretch finds what stepping over it with QEMU's watchpoint set finds."""
    counter = next(iter(watched))
    point = Watchpoint(99, counter, 8, WatchKind.READ)

    async def check() -> None:
        await replay.seek(busy[0].position)
        await replay.snapshot()
        reads = []
        for index in range(1500):
            step = await replay.step_watching([point])
            if step.reason is StopReason.WATCHPOINT:
                reads.append(index)
        assert len(reads) > 3
        replay.points.add_watchpoint(counter, 8, WatchKind.READ)
        for index in reversed(reads):
            await is_at(replay, busy, index, await replay.reverse_cont())
        for index in reads:
            await is_at(replay, busy, index + 1, await replay.cont())

    run(check())


def test_back_to_the_planted_bug(run: Run[Any], heapbug_guest: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the second guest: from the panic to the write that did it, eight million instructions of watching."""
    root = tmp_path_factory.mktemp("heapbug") / "heapbug"
    tasks = symbol(heapbug_guest, "tasks")
    magic = tasks.address + 3 * tasks.size // 6
    log_append = symbol(heapbug_guest, "log_append")

    async def culprit() -> Stop:
        async with await Replay.open(root) as replay:
            await replay.seek(replay.timeline.end)
            replay.points.add_watchpoint(magic, 8)
            return await replay.reverse_cont()

    async def check(stop: Stop, oracle: Oracle) -> None:
        index = oracle.index(stop.position)
        assert oracle.changes(magic) == [index]
        async with await Replay.open(root) as replay:
            replay.points.add_watchpoint(magic, 8)
            for later in (1, 2, 250):
                await replay.seek(oracle[index + later].position)
                await is_at(replay, oracle, index, await replay.reverse_cont())
            await is_at(replay, oracle, index - 1, await replay.reverse_stepi())
            await is_at(replay, oracle, index + 1, await replay.cont())

    record(heapbug_guest, root, until_console="PANIC", timeout=60)
    stop = run(culprit())
    assert log_append.address <= stop.pc < log_append.address + log_append.size
    assert stop.hits[0].change
    assert stop.hits[0].change.after[:1] == b"\0"
    run(check(stop, run(observe(root, stop.position.icount - 300, 600, {magic: 8}))))
