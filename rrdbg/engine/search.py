"""Find the last hit before a position: backwards by segments, each scanned forward.

A breakpoint in a hot loop stops the guest a million times in a segment, at about a millisecond each, and only the
last hit counts. So after :data:`MANY` stops the scan gives up the stretch it is in, runs bare to the middle of what is
left, and scans from there; only if the later half has no hit is the earlier one looked at. Each round halves the
stretch, and a round whose later half has hits goes on in the same machine.

Stops that do not count, for a false condition or a write that changes nothing, are stops all the same. Where only they
are found nothing can be left out, and each new machine costs as much as some hundred of them: so the earlier half is
scanned with the patience for as many stops as were made in vain after it. That doubles, and machines stay few.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rrdbg.engine.progress import ProgressListener, Stretch
from rrdbg.engine.scan import BROKEN, Accept, GiveUp, Scan, may_break
from rrdbg.engine.single import SingleScan
from rrdbg.engine.walk import Walker
from rrdbg.links.machine import ProgressCallback
from rrdbg.model.plan import plan_reverse_scan
from rrdbg.model.position import START, Position
from rrdbg.model.segments import Segment
from rrdbg.model.stop import Hit, Point
from rrdbg.model.timeline import Timeline

MANY = 50
"""Stops after which a stretch is halved; 50 ms of scanning."""

SHORT = 1000
"""Instructions; a stretch no longer than this is scanned whole."""


LastAmong = Callable[[Sequence[Segment]], Awaitable[Hit | None]]
"""Find the last hit in segments, the latest of which comes first."""

Note = Callable[[Position, Position, Sequence[Hit]], None]
"""Told what was scanned, from where to where, and all hits there."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The last hit of a stretch, and how many stops were made to find it."""

    hit: Hit | None
    stops: int

    def after(self, earlier: _Found) -> _Found:
        """What was found in both stretches."""
        return _Found(self.hit or earlier.hit, self.stops + earlier.stops)


class Search:
    """A search for the last hit of ``points`` on ``timeline``; ``start_at`` gives a fresh walker at a plain icount.

    ``single`` tells that it ends the walker before, see :class:`~rrdbg.engine.machines.Machines`. ``note`` is told
    every stretch that was scanned.
    """

    def __init__(
        self,
        timeline: Timeline,
        points: Sequence[Point],
        start_at: Callable[[int], Awaitable[Walker]],
        on_progress: ProgressListener = lambda progress: None,
        accept: Accept | None = None,
        *,
        single: bool = False,
        note: Note | None = None,
    ) -> None:
        self._timeline = timeline
        self._points = points
        self._start_at = start_at
        self._report = on_progress
        self._accept = accept
        self._single = single
        self._note = note
        self._scan_type = SingleScan if single else Scan
        self._on_progress: ProgressCallback = lambda icount: None

    async def last_before(self, here: Position, since: Position = START, among: LastAmong | None = None) -> Hit | None:
        """The last hit before ``here``, or None if there is none from ``since`` on.

        All segments but the nearest, which has it most often, are left to ``among``, if there is one.
        """
        cost = self._timeline.cost
        first = self._timeline.landing_before(since)
        whole = cost.seconds(first, here.icount)
        segments = plan_reverse_scan(self._timeline, here, first)
        for number, segment in enumerate(segments):
            if number and among:
                return await among(segments[number:])
            start, done = segment.start.icount, cost.seconds(segment.end.icount, here.icount)
            self._on_progress = Stretch(cost, start, done, whole, self._report).at
            self._on_progress(start)
            if found := await self.last_in(segment):
                return found
        return None

    async def last_in(self, segment: Segment) -> Hit | None:
        """The last hit in ``segment``, or None if there is none."""
        return (await self._last_between(segment.start.icount, segment.end, careful=self._single)).hit

    async def _last_between(self, low: int, end: Position, *, most: int = 0, careful: bool = False) -> _Found:
        try:
            walker = await self._start_at(low)
            try:
                return await self._last_from(walker, end, max(most, MANY), careful=careful)
            finally:
                await walker.machine.close()
        except BROKEN:
            if careful or not may_break(self._points):
                raise
        return await self._last_between(low, end, most=most, careful=True)

    async def _last_from(self, walker: Walker, end: Position, most: int, *, careful: bool) -> _Found:
        found = await self._scan(walker, end, lambda stops, left: stops >= most and left > SHORT, careful=careful)
        if walker.position >= end:
            return found
        reached = walker.position.icount
        plain = self._timeline.deliveries.plain_at_or_before
        middle = plain((reached + end.icount) // 2)
        if middle <= reached:
            return (await self._scan(walker, end, lambda stops, left: False, careful=careful)).after(found)
        await walker.run_to(middle, self._on_progress)
        later = await self._last_from(walker, end, most, careful=careful)
        if later.hit:
            return later.after(found)
        patience = max(most, found.stops + later.stops)
        earlier = await self._last_between(plain(reached), Position(middle), most=patience, careful=careful)
        return later.after(earlier).after(found)

    async def _scan(self, walker: Walker, end: Position, give_up: GiveUp, *, careful: bool) -> _Found:
        """The last hit up to ``end``, or to where ``give_up`` says that it is enough; the walker stands there."""
        scan = self._scan_type(
            walker, self._points, end, self._start_at, self._accept, careful=careful, give_up=give_up
        )
        start = walker.position
        async with aclosing(scan.hits(self._on_progress)) as hits:
            found = [hit async for hit in hits]
        # Where a scan gives up, only the icount of the walker is certain, and that is where the next one may begin.
        begun = Position(start.icount + 1) if start.phase else start
        reached = end if walker.position >= end else Position(walker.position.icount)
        if self._note and begun < reached:
            self._note(begun, reached, found)
        return _Found(found[-1] if found else None, scan.stops)
