"""What one worker does: look at a segment of the timeline in a machine of its own, and tell what it finds.

A task is a value that can be sent to another process or machine, which opens the recording itself, only to read it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rrdbg.engine.machines.source import Machines
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.access import StartAt
from rrdbg.engine.search.backward import Search
from rrdbg.engine.search.scan import Accept, Scan
from rrdbg.engine.search.sieve import Sieve
from rrdbg.engine.search.sifted import sifted
from rrdbg.engine.search.trail import Trail
from rrdbg.engine.search.write_sieve import sieve_for
from rrdbg.errors import RrdbgError
from rrdbg.links.rsp import StopReply
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Hit, Point, Watchpoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.travel.segments import OVERLAP, Segment

_MOST_HITS = 200
"""Hits that are told of together."""

_TELL_SECONDS = 0.1
"""How long a hit may wait to be told of."""

Scanned = tuple[Position, Position, tuple[Hit, ...]]
"""From where to where was scanned, and all hits there."""


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """Find all hits of ``points`` in a segment of ``recording``, or only the ``last`` one.

    ``accept`` must be a value that can be sent, too. ``final`` tells that it is the last segment of its scan, ``own``
    that the recording is that of whoever sends it.
    """

    recording: Path
    segment: Segment
    points: tuple[Point, ...]
    accept: Accept | None = None
    final: bool = True
    careful: bool = False
    last: bool = False
    own: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """Some of what a task has found: the next ``hits``, and how far it has come.

    The one that is ``over`` also has, of a search for the last hit, what stretches were scanned for it.
    """

    hits: tuple[Hit, ...]
    icount: int
    over: bool = False
    notes: tuple[Scanned, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A task has ended: by ``error``, or as it should, or since it was given up."""

    error: RrdbgError | OSError | None = None


class Listener(Protocol):
    """Who is told the parts of a task."""

    def tell(self, part: Part) -> None:
        """Take a part; may raise what ends the task."""

    async def ready(self) -> None:
        """Wait until more can be taken."""


async def perform(
    task: SegmentTask, machines: Machines, accelerator: Accelerator, timeline: Timeline, listener: Listener
) -> None:
    """Do ``task`` on ``machines``, with ``accelerator`` if there is much to judge, and tell all that it finds.

    :raises LinkError: as a scan does, when all before was told.
    """

    async def start_at(icount: int) -> Walker:
        walker, _ = await machines.start(task.segment.snapshot, timeline)
        try:
            await walker.run_to(icount)
        except BaseException:
            await walker.machine.close()
            raise
        return walker

    def progress(icount: int) -> None:
        listener.tell(Part((), icount))

    end = task.segment.end.icount
    sieve = sieve_for(accelerator, timeline, start_at, task.points, task.accept, jumps=False)
    if task.last:
        notes: list[Scanned] = []
        trail = Trail(start_at, lambda: timeline)
        search = Search(
            timeline, task.points, start_at, accept=task.accept, trail=trail, sieve=sieve,
            note=lambda start, end, hits: notes.append((start, end, tuple(hits))),
        )  # fmt: skip
        try:
            hit = await search.last_in(task.segment)
        finally:
            await trail.close()
        listener.tell(Part((hit,) if hit else (), end, over=True, notes=tuple(notes)))
    else:
        await _scan(task, timeline, start_at, sieve, listener, progress)
    await listener.ready()


async def _scan(
    task: SegmentTask,
    timeline: Timeline,
    start_at: StartAt,
    sieve: Sieve | None,
    listener: Listener,
    progress: ProgressCallback,
) -> None:
    start, end = task.segment.start, task.segment.end
    walker = await start_at(timeline.landing_before(start))
    trail = Trail(start_at, lambda: timeline)
    try:
        await walker.walk_to(start)
        if sieve:
            # What an instruction right before the end has written is looked for in a machine of its own.
            scanned = sifted(walker, task.points, end, start_at, task.accept, sieve, progress, careful=task.careful)
        else:
            scanned = SegmentScan(
                walker, task.points, end, start_at, task.accept, final=task.final, careful=task.careful,
            ).hits(progress)  # fmt: skip
        found: list[Hit] = []
        told = time.monotonic()
        try:
            async with aclosing(scanned) as hits:
                async for met in hits:
                    hit = await trail.judged(met)
                    if hit is None:
                        continue
                    found.append(hit)
                    if len(found) >= _MOST_HITS or time.monotonic() - told > _TELL_SECONDS:
                        listener.tell(Part(tuple(found), hit.position.icount))
                        found.clear()
                        await listener.ready()
                        told = time.monotonic()
        except BaseException:
            listener.tell(Part(tuple(found), start.icount))
            raise
    finally:
        await trail.close()
        await walker.machine.close()
    listener.tell(Part(tuple(found), end.icount, over=True))


class SegmentScan(Scan):
    """A scan of a segment that ends at ``last``, and is not always the ``final`` one of its scan.

    One that is not runs on a little behind its end, where it counts no hits any more.
    """

    def __init__(
        self,
        walker: Walker,
        points: Sequence[Point],
        last: Position,
        start_at: StartAt,
        accept: Accept | None,
        *,
        final: bool,
        careful: bool,
    ) -> None:
        timeline = walker.timeline
        end = last if final else Position(min(timeline.deliveries.plain_after(last.icount + OVERLAP), _limit(timeline)))
        super().__init__(
            walker, points, end, start_at, accept, careful=careful,
            give_up=lambda stops, left: not final and left <= end.icount - last.icount,
        )  # fmt: skip
        self._final = final
        self._last = last.icount

    async def hits(
        self, on_progress: ProgressCallback | None = None, *, include_start: bool = True
    ) -> AsyncGenerator[Hit, None]:
        """As of any scan, but for what lies behind the segment."""
        async with aclosing(super().hits(on_progress, include_start=include_start)) as hits:
            async for hit in hits:
                if self._final or hit.position.icount < self._last + isinstance(hit.point, Watchpoint):
                    yield hit

    async def _breakpoint_hit(self, here: Position, pc: int) -> Hit | None:
        return None if self._is_behind(here.icount + 1) else await super()._breakpoint_hit(here, pc)

    async def _watch_hits(self, reply: StopReply, position: Position) -> list[Hit]:
        return [] if self._is_behind(position.icount) else await super()._watch_hits(reply, position)

    async def _at_fence(self, position: Position) -> list[Hit]:
        return [] if self._is_behind(position.icount) else await super()._at_fence(position)

    def _is_behind(self, icount: int) -> bool:
        return not self._final and icount > self._last


def _limit(timeline: Timeline) -> int:
    return timeline.landing_before(timeline.end)
