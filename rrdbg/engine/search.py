"""Find the last hit before a position: backwards by segments, each scanned forward.

A breakpoint in a hot loop is hit a million times in a segment, at 0.65 ms each, and only the last hit counts.
So after :data:`MANY` hits the scan gives up the stretch it is in, runs bare to the middle of what is left, and
scans from there; only if the later half has no hit is the earlier one looked at. Each round halves the stretch, and
a round whose later half has hits goes on in the same machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from rrdbg.engine.scan import BROKEN, Accept, Scan, may_break
from rrdbg.engine.walk import Walker
from rrdbg.links.machine import ProgressCallback
from rrdbg.model.plan import plan_reverse_scan
from rrdbg.model.position import Position
from rrdbg.model.stop import Hit, Point
from rrdbg.model.timeline import Timeline

MANY = 50
"""Hits after which a stretch is halved; 35 ms of scanning."""

SHORT = 1000
"""Instructions; a stretch no longer than this is scanned whole."""


class Search:
    """A search for the last hit of ``points`` on ``timeline``; ``start_at`` gives a fresh walker at a plain icount."""

    def __init__(
        self,
        timeline: Timeline,
        points: Sequence[Point],
        start_at: Callable[[int], Awaitable[Walker]],
        on_progress: Callable[[int, float], None] = lambda icount, share: None,
        accept: Accept | None = None,
    ) -> None:
        self._timeline = timeline
        self._points = points
        self._start_at = start_at
        self._report = on_progress
        self._accept = accept
        self._on_progress: ProgressCallback = lambda icount: None

    async def last_before(self, here: Position) -> Hit | None:
        """The last hit before ``here``, or None if there is none since the start."""
        for segment in plan_reverse_scan(self._timeline, here):
            done = here.icount - segment.end.icount - segment.snapshot.icount
            self._on_progress = self._share(done, max(here.icount, 1))
            if hit := await self._last_between(segment.snapshot.icount, segment.end):
                return hit
        return None

    def _share(self, done: int, whole: int) -> ProgressCallback:
        return lambda icount: self._report(icount, (done + icount) / whole)

    async def _last_between(self, low: int, end: Position, *, careful: bool = False) -> Hit | None:
        try:
            walker = await self._start_at(low)
            try:
                return await self._last_from(walker, end, careful=careful)
            finally:
                await walker.machine.close()
        except BROKEN:
            if careful or not may_break(self._points):
                raise
        return await self._last_between(low, end, careful=True)

    async def _last_from(self, walker: Walker, end: Position, *, careful: bool) -> Hit | None:
        last = await self._scan(walker, end, MANY, careful=careful)
        if last is None or walker.position >= end:
            return last
        reached = walker.position.icount
        middle = self._timeline.deliveries.plain_at_or_before((reached + end.icount) // 2)
        if middle <= reached:
            return await self._scan(walker, end, None, careful=careful) or last
        await walker.run_to(middle, self._on_progress)
        if later := await self._last_from(walker, end, careful=careful):
            return later
        low = self._timeline.deliveries.plain_at_or_before(reached)
        return await self._last_between(low, Position(middle), careful=careful) or last

    async def _scan(self, walker: Walker, end: Position, most: int | None, *, careful: bool) -> Hit | None:
        """The last hit up to ``end``; gives up after ``most`` hits if a long stretch is left, and stands there."""
        scan = Scan(walker, self._points, end, self._start_at, self._accept, careful=careful)
        hits = scan.hits(self._on_progress)
        last, count = None, 0
        try:
            async for hit in hits:
                last, count = hit, count + 1
                if most is not None and count >= most and end.icount - hit.position.icount > SHORT:
                    break
        finally:
            await hits.aclose()
        return last
