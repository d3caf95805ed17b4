"""Every operation lands where single-stepping forward says."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrdbg.engine.replay import Replay
from rrdbg.engine.search import backward as search
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Breakpoint, Stop, StopReason, WatchKind
from rrdbg.model.timeline.position import START, Position
from tests.engine.conftest import Run
from tests.oracle import Oracle

SEED = 20261127

EXAMPLES = int(os.environ.get("RRDBG_EXAMPLES", "12"))
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="RRDBG_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
indices = st.integers(min_value=0, max_value=10_000)


@pytest.fixture(params=["busy", "exceptional", "idling", "boot", "ending"])
def oracle(request: pytest.FixtureRequest) -> Oracle:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Oracle)
    return found


async def is_at(replay: Replay, oracle: Oracle, index: int, stop: Stop | None = None) -> None:
    """The cursor stands at the oracle's entry ``index``, and the guest is in just that state."""
    entry = oracle[index]
    assert replay.position == entry.position
    assert (await (await replay.machine()).register_packet()) == entry.packet
    for address, value in entry.memory.items():
        assert await replay.read_memory(address, len(value)) == value
    if stop:
        assert (stop.position, stop.pc) == (entry.position, entry.pc)


@thorough
@given(picks=st.lists(indices, min_size=1, max_size=4))
def test_seek(run: Run[Any], replay: Replay, oracle: Oracle, picks: list[int]) -> None:
    async def check() -> None:
        for pick in picks:
            index = pick % len(oracle)
            await is_at(replay, oracle, index, await replay.seek(oracle[index].position))

    run(check())


@thorough
@given(start=indices, counts=st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_reverse_stepi_and_stepi(run: Run[Any], replay: Replay, oracle: Oracle, start: int, counts: list[int]) -> None:
    async def check() -> None:
        index = start % len(oracle)
        await replay.seek(oracle[index].position)
        for number, count in enumerate(counts):
            if number % 2 == 0:
                count = min(count, index)
                if count:
                    index -= count
                    await is_at(replay, oracle, index, await replay.reverse_stepi(count))
            else:
                count = min(count, len(oracle) - 1 - index)
                if count:
                    index += count
                    await is_at(replay, oracle, index, await replay.stepi(count))

    run(check())


def test_many_steps_at_once(run: Run[Any], replay: Replay, oracle: Oracle) -> None:
    """Where nothing is delivered they are one run; over deliveries of all kinds it is the same as step by step."""

    async def check() -> None:
        choice = random.Random(SEED)
        for _ in range(12):
            first, last = sorted(choice.sample(range(len(oracle)), 2))
            await replay.seek(oracle[first].position)
            await is_at(replay, oracle, last, await replay.stepi(last - first))
            await is_at(replay, oracle, first, await replay.reverse_stepi(last - first))

    run(check())


def test_many_steps_end_at_the_end(run: Run[Any], replay: Replay) -> None:
    async def check() -> None:
        end = replay.timeline.end
        await replay.seek(Position(replay.timeline.deliveries.plain_at_or_before(end.icount - 5000)))
        assert (await replay.stepi(1_000_000)).reason is StopReason.END
        assert replay.position == end

    run(check())


def test_each_single_step_back(run: Run[Any], replay: Replay, oracle: Oracle) -> None:
    """One by one over every delivery of the stretch: interrupts, software interrupts, undefined opcodes, hlt."""

    async def check() -> None:
        deliveries = oracle.timeline.deliveries
        for index in range(2, len(oracle) - 2):
            near = range(oracle[index].position.icount - 1, oracle[index].position.icount + 2)
            if any(not deliveries.is_plain(icount) for icount in near):
                await replay.seek(oracle[index].position)
                await is_at(replay, oracle, index)
                await is_at(replay, oracle, index - 1, await replay.reverse_stepi())
                await is_at(replay, oracle, index, await replay.stepi())

    run(check())


@thorough
@given(start=indices, picks=st.lists(indices, min_size=1, max_size=4), forward=st.booleans())
def test_continue_both_ways_with_breakpoints(
    run: Run[Any], replay: Replay, busy: Oracle, start: int, picks: list[int], forward: bool
) -> None:
    async def check() -> None:
        index = start % (len(busy) - 1)
        addresses = {busy[pick % len(busy)].pc for pick in picks}
        await replay.seek(busy[index].position)
        replay.points.delete()
        for address in addresses:
            replay.points.add_breakpoint(address)
        hits = busy.hits(*addresses)
        expected = [hit for hit in hits if hit > index][:1] if forward else [hit for hit in hits if hit < index][-1:]
        if not expected:
            return
        stop = await (replay.cont() if forward else replay.reverse_cont())
        await is_at(replay, busy, expected[0], stop)
        assert stop.reason is StopReason.BREAKPOINT
        assert stop.hits[0].point in replay.points

    run(check())


@thorough
@given(start=indices, kind=st.sampled_from([WatchKind.WRITE, WatchKind.ACCESS]))
def test_reverse_continue_with_a_watchpoint(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int], start: int, kind: WatchKind
) -> None:
    async def check() -> None:
        index = start % len(busy)
        await replay.seek(busy[index].position)
        replay.points.delete()
        address = next(iter(watched))
        replay.points.add_watchpoint(address, 8, kind)
        expected = [change for change in busy.changes(address) if change < index]
        if not expected:
            return
        stop = await replay.reverse_cont()
        assert stop.reason is StopReason.WATCHPOINT
        if kind is WatchKind.WRITE:
            await is_at(replay, busy, expected[-1], stop)
            change = stop.hits[0].change
            assert change
            before, after = busy[expected[-1]].memory[address], busy[expected[-1] + 1].memory[address]
            assert (change.before, change.after) == (before, after)
        else:
            assert stop.position >= busy[expected[-1]].position, "a read may come after the last write"

    run(check())


def test_walking_back_over_all_hits(run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]) -> None:
    """Breakpoints and watchpoints together, from hit to hit, to the beginning of the stretch."""

    async def check() -> None:
        counter, ring = watched
        deliveries = busy.timeline.deliveries
        handlers = [i for i in range(1, len(busy)) if busy[i].position.phase]
        address = busy[handlers[0]].pc
        replay.points.add_breakpoint(address)
        replay.points.add_watchpoint(counter, 8)
        replay.points.add_watchpoint(ring, 8)
        stops = sorted({*busy.hits(address), *busy.changes(counter), *busy.changes(ring)})
        assert len(stops) >= 3
        assert any(not deliveries.is_plain(busy[i].position.icount) for i in stops)
        await replay.seek(busy[len(busy) - 1].position)
        for index in reversed(stops):
            await is_at(replay, busy, index, await replay.reverse_cont())

    run(check())


def test_walking_forward_over_all_hits(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    async def check() -> None:
        handlers = [i for i in range(1, len(busy)) if busy[i].position.phase]
        address, other = busy[handlers[0]].pc, busy[len(busy) // 2].pc
        replay.points.add_breakpoint(address)
        replay.points.add_breakpoint(other)
        await replay.seek(busy[0].position)
        for index in [hit for hit in busy.hits(address, other) if hit > 0]:
            await is_at(replay, busy, index, await replay.cont())

    run(check())


def test_breakpoint_one_instruction_back(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    """QEMU's own ``bc`` misses it."""

    async def check() -> None:
        for index in range(500, 508):
            await replay.seek(busy[index].position)
            replay.points.delete()
            replay.points.add_breakpoint(busy[index - 1].pc)
            hit = max(i for i in busy.hits(busy[index - 1].pc) if i < index)
            await is_at(replay, busy, hit, await replay.reverse_cont())

    run(check())


@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
def test_breakpoint_around_a_snapshot(run: Run[Any], replay: Replay, busy: Oracle, offset: int) -> None:
    """At a snapshot, just before and just after it; QEMU's own ``bc`` misses the one before."""

    async def check() -> None:
        plain = [i for i in range(800, 900) if busy.timeline.deliveries.is_plain(busy[i].position.icount)]
        index = plain[len(plain) // 2]
        await replay.seek(busy[index].position)
        await replay.snapshot("here")
        await replay.seek(busy[1500].position)
        address = busy[index + offset].pc
        replay.points.add_breakpoint(address)
        for hit in reversed([i for i in busy.hits(address) if i < 1500]):
            await is_at(replay, busy, hit, await replay.reverse_cont())
            if hit <= index + offset:
                return

    run(check())


def test_watched_write_just_before_a_snapshot(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]
) -> None:
    """The write's after-position is the snapshot's: its report races with the end of the older segment."""

    async def check() -> None:
        counter = next(iter(watched))
        changes = [i for i in busy.changes(counter) if busy.timeline.deliveries.is_plain(busy[i + 1].position.icount)]
        index = changes[len(changes) // 2]
        await replay.seek(busy[index + 1].position)
        await replay.snapshot("after")
        later = next((i for i in busy.changes(counter) if i > index), len(busy) - 1)
        for kind in (WatchKind.WRITE, WatchKind.ACCESS):
            replay.points.delete()
            replay.points.add_watchpoint(counter, 8, kind)
            for _ in range(10):
                await replay.seek(busy[index + 1].position)
                await is_at(replay, busy, index, await replay.reverse_cont())
        replay.points.delete()
        replay.points.add_watchpoint(counter, 8)
        await replay.seek(busy[min(index + 2, later)].position)
        await is_at(replay, busy, index, await replay.reverse_cont())

    run(check())


def test_breakpoint_at_the_first_instruction(run: Run[Any], replay: Replay, boot: Oracle) -> None:
    async def check() -> None:
        replay.points.add_breakpoint(boot[0].pc)
        await replay.seek(boot[300].position)
        for hit in reversed([i for i in boot.hits(boot[0].pc) if i < 300]):
            stop = await replay.reverse_cont()
            await is_at(replay, boot, hit, stop)
            assert stop.reason is StopReason.BREAKPOINT
        stop = await replay.reverse_cont()
        assert (stop.reason, stop.position) == (StopReason.START, START)

    run(check())


def test_breakpoint_at_an_interrupted_instruction(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    """It hits after the interrupt has returned, not where the interrupt came first; both ways agree."""

    async def check() -> None:
        interrupted = [i for i in range(len(busy) - 200) if not busy.begins(i)]
        assert interrupted
        for index in interrupted:
            address = busy[index].pc
            replay.points.delete()
            replay.points.add_breakpoint(address)
            hits = busy.hits(address)
            assert index not in hits
            after = next(hit for hit in hits if hit > index)
            await replay.seek(busy[index].position)
            await is_at(replay, busy, after, await replay.cont())
            earlier = [hit for hit in hits if hit < index]
            await replay.seek(busy[after].position)
            if earlier:
                await is_at(replay, busy, earlier[-1], await replay.reverse_cont())

    run(check())


def test_nothing_to_find(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    async def check() -> None:
        replay.points.add_breakpoint(0xDEAD_0000)
        await replay.seek(busy[100].position)
        stop = await replay.reverse_cont()
        assert (stop.reason, stop.position, stop.hits) == (StopReason.START, START, ())
        stop = await replay.cont()
        assert (stop.reason, stop.position) == (StopReason.END, replay.timeline.end)

    run(check())


def test_the_two_ends(run: Run[Any], replay: Replay, ending: Oracle, boot: Oracle) -> None:
    async def check() -> None:
        end = len(ending) - 1
        await is_at(replay, ending, end, await replay.seek(replay.timeline.end))
        assert (await replay.stepi()).reason is StopReason.END
        await is_at(replay, ending, end)
        replay.points.add_breakpoint(ending[end - 1].pc)
        hit = max(i for i in ending.hits(ending[end - 1].pc))
        await is_at(replay, ending, hit, await replay.reverse_cont())
        await is_at(replay, ending, hit + 1, await replay.stepi())
        replay.points.delete()
        assert (await replay.cont()).reason is StopReason.END
        await is_at(replay, ending, end)
        stop = await replay.reverse_cont()
        assert stop.reason is StopReason.START
        stop = await replay.reverse_stepi()
        assert (stop.reason, stop.position) == (StopReason.START, START)
        await is_at(replay, boot, 0)
        await is_at(replay, boot, 1, await replay.stepi())

    run(check())


@thorough
@given(start=indices, pick=indices, many=st.integers(1, 3))
def test_halving_finds_what_a_full_scan_finds(
    run: Run[Any], replay: Replay, busy: Oracle, start: int, pick: int, many: int
) -> None:
    async def check() -> None:
        index = start % len(busy)
        address = busy[pick % len(busy)].pc
        await replay.seek(busy[index].position)
        replay.points.delete()
        replay.points.add_breakpoint(address)
        expected = [hit for hit in busy.hits(address) if hit < index]
        if expected:
            await is_at(replay, busy, expected[-1], await replay.reverse_cont())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MANY", many)
        patch.setattr(search, "SHORT", 10)
        run(check())


@thorough
@given(start=indices, pick=indices, many=st.integers(1, 60))
def test_false_conditions_hide_no_true_one(
    run: Run[Any], replay: Replay, busy: Oracle, start: int, pick: int, many: int
) -> None:
    """In a hot loop nearly all stops are in vain, and the search gives up early, again and again."""

    async def check() -> None:
        index, wanted = start % len(busy), pick % len(busy)
        address, value = busy[wanted].pc, busy.registers(wanted)["rax"]

        async def holds(machine: Machine, point: Breakpoint) -> bool:
            return (await machine.registers())["rax"] == value

        await replay.seek(busy[index].position)
        replay.points.delete()
        replay.points.add_breakpoint(address)
        expected = [hit for hit in busy.hits(address) if hit < index and busy.registers(hit)["rax"] == value]
        if expected:
            await is_at(replay, busy, expected[-1], await replay.reverse_cont(accept=holds))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MANY", many)
        patch.setattr(search, "SHORT", 10)
        run(check())


def test_a_phase_that_does_not_exist(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    from rrdbg.errors import OutOfRange

    async def check() -> None:
        await replay.seek(busy[50].position)
        with pytest.raises(OutOfRange, match="There is no position"):
            await replay.seek(Position(busy[60].position.icount, 9))
        await is_at(replay, busy, 50)

    run(check())
