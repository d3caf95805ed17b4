"""Find the last hit before a position: backwards by segments, each scanned forward.

A breakpoint in a hot loop stops the guest a million times in a segment, at about a millisecond each, and only the
last hit counts. So after :data:`MANY` stops the scan gives up the stretch it is in, runs bare to the middle of what is
left, and scans from there; only if the later half has no hit is the earlier one looked at. Each round halves the
stretch, and a round whose later half has hits goes on in the same machine. Somebody may know roughly where the last
hits are (:mod:`rrdbg.engine.search.accelerator`): where asking is quicker than the rounds will probably be, the stretch
is parted there. What counts is found out in the same way, so it need not be right.

Stops that do not count, for a false condition or a write that changes nothing, are stops all the same. Where only they
are found nothing can be left out, and each new machine costs as much as some hundred of them: so the earlier half is
scanned with the patience for as many stops as were made in vain after it. That doubles, and machines stay few.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from rrdbg.engine.machines.progress import ProgressListener, Stretch
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import NearLast
from rrdbg.engine.search.scan import BROKEN, Accept, GiveUp, Scan, may_break
from rrdbg.engine.search.sieve import FEW, Sieve
from rrdbg.engine.search.single import SingleScan
from rrdbg.engine.search.trail import Trail, judge_last
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Hit, Point
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.travel.plan import plan_reverse_scan
from rrdbg.model.travel.segments import Segment

MANY = 50
"""Stops after which a stretch is halved; 50 ms of scanning."""

SHORT = 1000
"""Instructions; a stretch no longer than this is scanned whole."""

_START_SECONDS = 0.3
_SLOWER = 1.3
"""What asking for the last hits costs: a start, and a replay of the stretch that takes so much longer."""


LastAmong = Callable[[Sequence[Segment]], Awaitable[Hit | None]]
"""Find the last hit in segments, the latest of which comes first."""

Note = Callable[[Position, Position, Sequence[Hit]], None]
"""Told what was scanned, from where to where, and all hits there, those of other address spaces included.

Not all of them are judged.
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """The hits of a stretch, how many stops were made to find them, and how many seconds that took; its ``last`` hit.

    That is not known before it is looked for, which is done when no machine is needed for the stretch any more.
    """

    hits: list[Hit]
    stops: int
    seconds: float
    last: Hit | None = None

    def after(self, earlier: _Found) -> _Found:
        """What was found in both stretches, of which the later one has no last hit unless it is known."""
        stops, seconds = self.stops + earlier.stops, self.seconds + earlier.seconds
        return _Found([], stops, seconds, self.last or earlier.last)


class Search:
    """A search for the last hit of ``points`` on ``timeline``; ``start_at`` gives a fresh walker at a plain icount.

    ``single`` tells that it ends the walker before, see :class:`~rrdbg.engine.machines.source.Machines`. ``note`` is
    told every stretch that was scanned. ``near_last`` tells where to look first, if somebody knows. ``trail`` judges
    hits, and is the caller's to close. ``sieve`` finds hits under conditions where there are many stops.
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
        near_last: NearLast | None = None,
        trail: Trail | None = None,
        sieve: Sieve | None = None,
    ) -> None:
        self._timeline = timeline
        self._points = points
        self._start_at = start_at
        self._trail = trail or Trail(start_at, lambda: timeline)
        self._report = on_progress
        self._accept = accept
        self._single = single
        self._note = note
        # A condition is judged at each hit, so it is of no use to know where those are.
        self._near_last = None if accept else near_last
        self._sieve = sieve
        self._dense = False
        self._scan_type = SingleScan if single else Scan
        self._scanned: list[tuple[Position, Position, list[Hit]]] = []
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
        try:
            if self._sieve and self._dense:
                return await self._last_sifted(self._sieve, segment.start, segment.end)
            return (await self._last_between(segment.start.icount, segment.end, careful=self._single)).last
        finally:
            scanned, self._scanned = self._scanned, []
            for start, end, hits in scanned if self._note else ():
                assert self._note
                self._note(start, end, hits)

    async def _last_between(self, low: int, end: Position, *, most: int = 0, careful: bool = False) -> _Found:
        try:
            walker = await self._start_at(low)
            try:
                return await self._last_from(walker, end, max(most, self._many), careful=careful)
            finally:
                await walker.machine.close()
        except BROKEN:
            if careful or not may_break(self._points):
                raise
        return await self._last_between(low, end, most=most, careful=True)

    @property
    def _many(self) -> int:
        return FEW if self._sieve else MANY

    async def _last_from(self, walker: Walker, end: Position, most: int, *, careful: bool) -> _Found:
        found = await self._scan(walker, end, lambda stops, left: stops >= most and left > SHORT, careful=careful)
        if walker.position >= end:
            return await self._judged(found)
        if self._sieve and await self._can_sift(self._sieve, walker):
            last = await self._last_sifted(self._sieve, walker.position, end)
            return replace(found, last=last) if last else await self._judged(found)
        reached = walker.position.icount
        plain = self._timeline.deliveries.plain_at_or_before
        middle = await self._last_known(reached, end, found) or plain((reached + end.icount) // 2)
        if middle <= reached:
            later = await self._judged(await self._scan(walker, end, lambda stops, left: False, careful=careful))
            return later.after(found if later.last else await self._judged(found))
        await walker.run_to(middle, self._on_progress)
        later = await self._last_from(walker, end, most, careful=careful)
        if later.last:
            return later.after(found)
        patience = max(most, found.stops + later.stops)
        earlier = await self._last_between(plain(reached), Position(middle), most=patience, careful=careful)
        return later.after(earlier).after(found if earlier.last else await self._judged(found))

    async def _can_sift(self, sieve: Sieve, walker: Walker) -> bool:
        """Whether ``sieve`` finds what comes behind ``walker``, where there have been many stops."""
        self._dense = await sieve.can_judge(walker.machine.register_file)
        self._sieve = sieve if self._dense else None
        return self._dense and self._timeline.deliveries.is_plain(walker.position.icount)

    async def _last_sifted(self, sieve: Sieve, start: Position, end: Position) -> Hit | None:
        since, found = await sieve.last(start, end, self._trail, self._on_progress)
        self._scanned.append((since, end, found))
        return next((hit for hit in reversed(found) if hit.belongs), None)

    async def _judged(self, found: _Found) -> _Found:
        return replace(found, last=await judge_last(self._trail, found.hits, lambda hit: hit.belongs))

    async def _last_known(self, low: int, end: Position, found: _Found) -> int | None:
        """A plain icount a little before the last hits, where it is known, and worth asking for after ``found``."""
        rounds = math.log2((end.icount - low) / SHORT) if end.icount - low > SHORT else 0.0
        snapshot = self._timeline.nearest(low)
        if self._near_last is None or snapshot is None or not found.stops:
            return None
        pass_seconds = self._timeline.cost.seconds(snapshot.icount, end.icount)
        if rounds * MANY * found.seconds / found.stops < _START_SECONDS + _SLOWER * pass_seconds:
            return None
        near_last, self._near_last = self._near_last, None
        return await near_last(self._timeline, self._points, low, end, self._on_progress)

    async def _scan(self, walker: Walker, end: Position, give_up: GiveUp, *, careful: bool) -> _Found:
        """The last hit up to ``end``, or to where ``give_up`` says that it is enough; the walker stands there."""
        scan = self._scan_type(
            walker, self._points, end, self._start_at, self._accept, careful=careful, give_up=give_up
        )
        start, began = walker.position, time.monotonic()
        async with aclosing(scan.hits(self._on_progress)) as hits:
            found = [hit async for hit in hits]
        seconds = time.monotonic() - began
        # Where a scan gives up, only the icount of the walker is certain, and that is where the next one may begin.
        begun = Position(start.icount + 1) if start.phase else start
        reached = end if walker.position >= end else Position(walker.position.icount)
        if begun < reached:
            self._scanned.append((begun, reached, found))
        return _Found(found, scan.stops, seconds)
