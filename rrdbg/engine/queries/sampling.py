"""Looking at a guest at every so many instructions of a stretch, the same places each time.

A machine is stopped at each place by a fence, which costs a millisecond or two. So a sample is exactly where it says,
on every QEMU; what is delivered there is one more reason to take the next place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from rrdbg.engine.machines.progress import Stretch
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.timeline.position import Position

_SAMPLES = 1000
"""Unless told otherwise."""

T = TypeVar("T")


def instructions(start: Position, end: Position, runs: TaskRuns | None = None) -> int:
    """How many there are between two positions; with ``runs`` those of that task."""
    return runs.instructions(start, end) if runs else end.icount - start.icount


def spacing(count: int) -> int:
    """How far apart samples of ``count`` instructions are unless somebody says so: a round number."""
    wanted = max(count // _SAMPLES, 1)
    magnitude = int(10 ** (len(str(wanted)) - 1))
    return next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude >= wanted)


async def sampled(
    replay: Replay,
    every: int,
    start: Position,
    end: Position,
    look: Callable[[Walker], Awaitable[T]],
    runs: TaskRuns | None = None,
) -> AsyncGenerator[T, None]:
    """What ``look`` makes of a machine at each multiple of ``every`` instructions from ``start`` on and before ``end``.

    In order; where something is delivered at just that icount, at the next one where nothing is. With ``runs`` only
    while that task runs. The cursor stays.
    """
    taken: asyncio.Queue[tuple[T] | None] = asyncio.Queue()
    rounds = _Rounds(replay, every, start, end, runs)

    async def take(walker: Walker) -> None:
        async with aclosing(rounds.places(walker)) as places:
            async for here in places:
                taken.put_nowait((await look(here),))

    task = asyncio.create_task(replay.visit(start, take))
    task.add_done_callback(lambda _: taken.put_nowait(None))
    try:
        while found := await taken.get():
            yield found[0]
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it was raised above, or says that it was ended here


class _Rounds:
    """The places of samples, each once, also should a machine die on the way."""

    def __init__(self, replay: Replay, every: int, start: Position, end: Position, runs: TaskRuns | None) -> None:
        self._replay = replay
        self._runs = runs
        self._every = every
        self._start = start
        self._end = end
        self._taken = Position(-1)

    async def places(self, walker: Walker) -> AsyncGenerator[Walker, None]:
        """Walk on, and stand at each place that was not looked at."""
        plain = self._replay.timeline.deliveries
        start, end = self._start, self._end
        stretch = Stretch.alone(self._replay.timeline.cost, start.icount, end.icount, self._replay.on_progress)
        wanted = -(-start.icount // self._every) * self._every
        while True:
            icount = wanted if plain.is_plain(wanted) else plain.plain_after(wanted)
            if Position(icount) >= end:
                return
            if self._runs and not self._runs.begins_at(Position(icount)):
                following = self._runs.at_or_after(Position(icount))
                if following is None:
                    return
                wanted = max(-(-following.icount // self._every) * self._every, wanted + self._every)
                continue
            if icount > walker.position.icount:
                await walker.run_to(icount, stretch.at)
            if Position(icount) >= start and Position(icount) > self._taken:
                yield walker
                self._taken = walker.position
            stretch.at(icount)
            wanted = max(wanted + self._every, icount + 1)
