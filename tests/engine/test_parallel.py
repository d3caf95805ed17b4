"""Searches by several workers find what a single pass finds: the same hits, values and positions, in the same order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.queries.trace import trace
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.parallel.local import LocalExecutor
from rrdbg.engine.search.scan import Accept
from rrdbg.errors import Interrupted, LinkError
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Breakpoint, Hit, Point, WatchKind, Watchpoint
from rrdbg.model.program.tracing import Format, Tracepoint
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.travel import segments
from tests.engine.conftest import SNAPSHOTS, Run
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.processes import children, command_line, qemus_of

JOBS = 2


@pytest.fixture
def parallel(copied: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A replay of the same recording with two workers, to which the shortest segments are given, too."""
    monkeypatch.setattr(segments, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(segments, "PER_JOB", 1000)
    opened = run(Replay.open(copied, executor=LocalExecutor(JOBS)))
    yield opened
    run(opened.close())


async def found(
    replay: Replay, points: Sequence[Point], start: Position, end: Position, accept: Accept | None = None
) -> list[Hit]:
    return [hit async for hit in replay.scan(points, start, end, accept)]


def workers() -> list[int]:
    """The worker processes, which stay from one search to the next."""
    return [
        pid for pid in children(os.getpid(), "python") if b"rrdbg.engine.search.parallel.worker" in command_line(pid)
    ]


def test_a_scan_in_parallel_is_a_scan(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point], busy: Oracle
) -> None:
    async def check() -> None:
        chosen, end = random.Random(3), serial.timeline.end
        assert len(segments.split(parallel.timeline, START, end, JOBS)) >= SNAPSHOTS
        middle = busy[1500].position
        # The shorter one first: what is found then is known, and not scanned for again.
        stretches = [(middle, end), (START, end)]
        for number, (low, high) in enumerate(stretches):
            some = points if number else chosen.sample(points, 1)
            expected = await found(serial, some, low, high)
            assert await found(parallel, some, low, high) == expected
            assert len(expected) > 5
        assert len(workers()) == JOBS

    run(check())


@pytest.mark.parametrize("kind", [WatchKind.WRITE, WatchKind.ACCESS])
def test_single_watchpoints_have_the_values_of_a_single_pass(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point], kind: WatchKind
) -> None:
    async def check() -> None:
        assert isinstance(points[2], Watchpoint)
        point = replace(points[2], kind=kind)
        expected = await found(serial, [point], START, serial.timeline.end)
        assert await found(parallel, [point], START, serial.timeline.end) == expected
        assert len(expected) > 50

    run(check())


def test_the_last_hit_before_a_position(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point], workload_guest: Path
) -> None:
    async def check() -> None:
        chosen, end = random.Random(5), serial.timeline.end.icount
        rare = Breakpoint(7, symbol(workload_guest, "main").address)
        for point in (rare, points[0], points[2]):
            here = Position(serial.timeline.landing_before(Position(chosen.randrange(end // 2, end))))
            assert await parallel.last_before(here, [point]) == await serial.last_before(here, [point])
        nowhere = Breakpoint(8, 0xDEAD_0000)
        assert await parallel.last_before(parallel.timeline.end, [nowhere]) is None
        assert workers()

    run(check())


def test_what_is_read_at_each_hit_comes_with_it(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point], workload_guest: Path
) -> None:
    async def check() -> None:
        assert isinstance(points[0], Breakpoint)
        # What agent expressions read: const64 ADDRESS, ref64, end (GDB manual, "Bytecode Descriptions").
        code = f"{points[0].address:#x},25{symbol(workload_guest, 'ticks').address:016x}1a27"
        texts = [
            [line async for line in trace(replay, [Tracepoint.read(code)], Format.read("%d ticks"), START, end)]
            for replay in (serial, parallel)
            for end in (replay.timeline.end,)
        ]
        assert texts[0] == texts[1]
        assert texts[0][5][1] == "5 ticks"

    run(check())


@dataclass(frozen=True)
class _EveryOther:
    """A condition that can be sent to a worker: the register of the first argument, or what it is, is even."""

    async def __call__(self, machine: Machine, point: Breakpoint) -> bool:
        return (await machine.registers())["rax"] % 2 == 0


def test_conditions_are_judged_by_the_workers(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point]
) -> None:
    async def check() -> None:
        end = serial.timeline.end
        everything = await found(serial, points[:1], START, end)
        expected = await found(serial, points[:1], START, end, _EveryOther())
        assert await found(parallel, points[:1], START, end, _EveryOther()) == expected
        assert 0 < len(expected) < len(everything)

    run(check())


def test_a_condition_that_cannot_be_sent_is_judged_here(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point]
) -> None:
    async def check() -> None:
        seen = []

        async def note(machine: Machine, point: Breakpoint) -> bool:
            seen.append(machine)
            return True

        end = serial.timeline.end
        assert await found(parallel, points[:1], START, end, note) == await found(serial, points[:1], START, end)
        assert seen

    run(check())


@pytest.mark.parametrize("backwards", [False, True])
def test_ctrl_c_ends_the_workers_qemus(
    run: Run[Any], parallel: Replay, points: list[Point], busy: Oracle, backwards: bool
) -> None:
    async def check() -> None:
        await parallel.seek(busy[100].position)
        await found(parallel, points[:1], START, parallel.timeline.end)
        busily = Breakpoint(9, busy[1500].pc)
        if backwards:
            work: Coroutine[Any, Any, object] = parallel.last_before(parallel.timeline.end, [Breakpoint(9, 0xDEAD)])
        else:
            work = found(parallel, [busily], START, parallel.timeline.end)
        task = asyncio.create_task(work)
        await asyncio.wait((task,), timeout=0.01)  # so that it has begun, should a QEMU of the search before be left
        while not qemus():
            await asyncio.wait((task,), timeout=0.01)
        task.cancel()
        with pytest.raises(Interrupted):
            await task
        assert not qemus()
        assert parallel.position == busy[100].position
        assert await (await parallel.machine()).register_packet() == busy[100].packet
        assert len(workers()) == JOBS, "they wait for the next search"

    def qemus() -> list[int]:
        return [pid for worker in workers() for pid in qemus_of(worker)]

    run(check())


def test_a_scan_that_is_left_early_ends_the_workers_qemus(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point]
) -> None:
    async def check() -> None:
        end = serial.timeline.end
        async with aclosing(parallel.scan(points[:1], START, end)) as hits:
            first = await anext(hits)
        assert not [pid for worker in workers() for pid in qemus_of(worker)]
        async with aclosing(serial.scan(points[:1], START, end)) as hits:
            assert await anext(hits) == first

    run(check())


def test_a_worker_that_was_killed_fails_one_search_only(
    run: Run[Any], serial: Replay, parallel: Replay, points: list[Point], busy: Oracle
) -> None:
    async def check() -> None:
        end = serial.timeline.end
        await parallel.seek(busy[100].position)
        async with aclosing(parallel.scan([Breakpoint(9, busy[1500].pc)], START, end)) as hits:
            await anext(hits)
            for pid in workers():
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(LinkError, match="worker process"):
                async for _ in hits:
                    pass
        assert parallel.position == busy[100].position
        assert await found(parallel, points[:1], START, end) == await found(serial, points[:1], START, end)

    run(check())
