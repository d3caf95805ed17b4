"""Find hits: all on a stretch, the first ahead of the cursor, the last before a position.

What the hit index knows (:mod:`rrdbg.engine.search.hits`) is not scanned for again; what a scan tells is noted there. A
scan that a watchpoint breaks is made again, carefully, see :mod:`rrdbg.engine.search.scan`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from rrdbg.engine.machines.progress import ProgressListener
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import NearLast
from rrdbg.engine.search.backward import Search
from rrdbg.engine.search.hits import Hits
from rrdbg.engine.search.parallel.searches import Parallel
from rrdbg.engine.search.scan import BROKEN, Accept, Scan, may_break
from rrdbg.engine.search.single import SingleScan, all_at_once
from rrdbg.engine.travel.cursor import Cursor
from rrdbg.engine.travel.landing import exact_position, step_before
from rrdbg.errors import QemuDied
from rrdbg.model.hits.stop import Hit, Point, Watchpoint
from rrdbg.model.timeline.position import START, Position


class Finder:
    """Finds hits for whoever moves ``cursor``, which must be :meth:`~rrdbg.engine.travel.cursor.Cursor.moving`
    meanwhile.

    Long searches are shared out by ``parallel``, and ``near_last`` tells one where to look first. ``single`` tells that
    there is one QEMU only, see :class:`~rrdbg.engine.machines.source.Machines`.
    """

    def __init__(
        self,
        cursor: Cursor,
        hits: Hits,
        report: ProgressListener,
        parallel: Parallel | None,
        near_last: NearLast,
        *,
        single: bool,
    ) -> None:
        self._cursor = cursor
        self._hits = hits
        self._report = report
        self._parallel = parallel
        self._near_last = near_last
        self._single = single
        self._scan_type = SingleScan if single else Scan

    async def all(
        self, points: Sequence[Point], start: Position, end: Position, accept: Accept | None
    ) -> AsyncGenerator[Hit, None]:
        """Every hit from ``start`` to ``end``, in order."""
        for piece in self._hits.pieces(points, start, end, judged=accept is not None):
            for hit in piece.hits or ():
                yield hit
            if piece.hits is None:
                found = self._scanned(points, piece.start, piece.end, accept)
                if accept is None:
                    found = self._hits.noting(points, piece.start, piece.end, found)
                async with aclosing(found) as hits:
                    async for hit in hits:
                        yield hit

    async def go_to_first(self, points: Sequence[Point], accept: Accept | None) -> Hit | None:
        """Move the cursor forward to the first hit; if there is none it is left on the way."""
        origin, end = self._cursor.position, self._cursor.timeline.end
        for piece in self._hits.pieces(points, origin, end, judged=accept is not None):
            if piece.hits is None:
                await self._cursor.go(piece.start)
                first = await self._run(points, piece.end, accept, include_start=piece.start != origin)
            else:
                ahead = (hit for hit in piece.hits if hit.position > origin or isinstance(hit.point, Watchpoint))
                first = next(ahead, None)
                if first:
                    await self._cursor.go(await self._exact(first))
            if first:
                return first
        return None

    async def last(self, here: Position, points: Sequence[Point], accept: Accept | None) -> tuple[Position, Hit] | None:
        """The last hit before ``here``, and where going back to it stops."""
        timeline, note = self._cursor.timeline, None if accept else partial(self._hits.note, points)
        search = Search(
            timeline, points, self._cursor.start_at, self._report, accept,
            single=self._single, note=note, near_last=self._near_last,
        )  # fmt: skip
        among = self._parallel.backwards(timeline, points, accept, self._report, note) if self._parallel else None
        for piece in reversed(self._hits.pieces(points, START, here, judged=accept is not None)):
            if piece.hits is None:
                last = await search.last_before(piece.end, piece.start, among)
            else:
                last = piece.hits[-1] if piece.hits else None
            if last:
                watched = isinstance(last.point, Watchpoint)
                return await (self.before(last.position) if watched else self._exact(last)), last
        return None

    async def before(self, position: Position) -> Position:
        """The stop that a single-stepper makes just before ``position``."""
        return await step_before(self._cursor.start_at, self._cursor.timeline, position)

    async def _exact(self, hit: Hit) -> Position:
        """Where a forward run stops at ``hit``."""
        position = await exact_position(self._cursor.start_at, self._cursor.timeline, hit)
        if not hit.exact:
            self._hits.note_exact(hit, position)
        return position

    async def _run(
        self, points: Sequence[Point], end: Position, accept: Accept | None, *, include_start: bool
    ) -> Hit | None:
        """Run the cursor forward to the first hit, or without any to ``end``; ``include_start`` is as for a scan."""
        walker = await self._cursor.walker()
        start = walker.position
        try:
            first = await self._first(walker, points, end, accept, include_start=include_start, careful=self._single)
        except BROKEN:
            if self._single or not may_break(points):
                raise
            await self._cursor.drop()
            walker = await self._cursor.walker()
            first = await self._first(walker, points, end, accept, include_start=include_start, careful=True)
        if first is None or (first.exact and walker.position == first.position):
            self._cursor.position = walker.position
        else:
            await self._cursor.drop()
            self._cursor.position = await self._exact(first)
        if accept is None:
            at_first = first and replace(first, position=self._cursor.position, exact=True)
            self._hits.note_run(points, start, at_first, end)
        return first

    async def _first(
        self,
        walker: Walker,
        points: Sequence[Point],
        end: Position,
        accept: Accept | None,
        *,
        include_start: bool,
        careful: bool,
    ) -> Hit | None:
        """The first hit ahead of ``walker``, which stands at it or somewhat after it then; without one, at ``end``."""
        scan = self._scan_type(walker, points, end, self._cursor.start_at, accept, careful=careful)
        progress = self._cursor.progress(end, walker.position)
        async with aclosing(scan.hits(progress, include_start=include_start)) as hits:
            return await anext(hits, None)

    async def _scanned(
        self, points: Sequence[Point], start: Position, end: Position, accept: Accept | None
    ) -> AsyncGenerator[Hit, None]:
        """What a scan finds, or where it breaks, a careful one from there on."""
        seen: list[Hit] = []
        try:
            found = self._scan(points, start, end, accept, careful=self._single)
            async with aclosing(all_at_once(found) if self._single and accept is None else found) as hits:
                async for hit in hits:
                    seen = [*(known for known in seen if known.position == hit.position), hit]
                    yield hit
        except BROKEN as error:
            if self._single or not (may_break(points) or isinstance(error, QemuDied)):
                raise
        else:
            return
        told = [(known.position, known.point) for known in seen]
        resumed = max([start, *(known.position for known in seen)])
        async with aclosing(self._scan(points, resumed, end, accept, careful=True)) as hits:
            async for hit in hits:
                if (hit.position, hit.point) not in told:
                    yield hit

    async def _scan(
        self, points: Sequence[Point], start: Position, end: Position, accept: Accept | None, *, careful: bool
    ) -> AsyncGenerator[Hit, None]:
        timeline = self._cursor.timeline
        if self._parallel and (segments := self._parallel.segments(timeline, start, end, accept)):
            found = self._parallel.scan(
                timeline, segments, points, accept, self._cursor.start_at, self._report, careful=careful
            )
            async with aclosing(found) as hits:
                async for hit in hits:
                    yield hit
            return
        walker = await self._cursor.start_at(timeline.landing_before(start))
        try:
            await walker.walk_to(start)
            scan = self._scan_type(walker, points, end, self._cursor.start_at, accept, careful=careful)
            async with aclosing(scan.hits(self._cursor.progress(end, start))) as hits:
                async for hit in hits:
                    yield hit
        finally:
            await walker.machine.close()
