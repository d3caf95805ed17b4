"""Find hits: all on a stretch, the first ahead of the cursor, the last before a position.

What the hit index knows (:mod:`rrdbg.engine.search.hits`) is not scanned for again; what a scan tells is noted there. A
scan that a watchpoint breaks is made again, carefully, see :mod:`rrdbg.engine.search.scan`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from rrdbg.engine.machines.progress import ProgressListener
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.backward import Search
from rrdbg.engine.search.chain import chained, lying
from rrdbg.engine.search.hits import Hits
from rrdbg.engine.search.lives import Lives
from rrdbg.engine.search.mappings import Mappings, any_physical
from rrdbg.engine.search.parallel.searches import Parallel
from rrdbg.engine.search.scan import BROKEN, Accept, Scan, may_break
from rrdbg.engine.search.sieve import Sieve
from rrdbg.engine.search.sifted import sifted
from rrdbg.engine.search.single import EagerScan, SingleScan, all_at_once
from rrdbg.engine.search.trail import Trail, judge_last
from rrdbg.engine.search.write_condition import write_condition
from rrdbg.engine.search.write_sieve import sieve_for
from rrdbg.engine.travel.cursor import Cursor
from rrdbg.engine.travel.landing import exact_position, step_before
from rrdbg.engine.travel.unwritten import Unwritten
from rrdbg.errors import QemuDied
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.stop import Hit, Point, Watchpoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position


class Finder:
    """Finds hits for whoever moves ``cursor``, which must be :meth:`~rrdbg.engine.travel.cursor.Cursor.moving`
    meanwhile.

    Long searches are shared out by ``parallel``, and ``accelerator`` tells one where to look. ``single`` tells that
    there is one QEMU only, see :class:`~rrdbg.engine.machines.source.Machines`.
    """

    def __init__(
        self,
        cursor: Cursor,
        hits: Hits,
        report: ProgressListener,
        parallel: Parallel | None,
        accelerator: Accelerator,
        mappings: Mappings,
        log: Path,
        *,
        single: bool,
    ) -> None:
        self._cursor = cursor
        self._hits = hits
        self._report = report
        self._parallel = parallel
        self._accelerator = accelerator
        self._mappings = mappings
        self._unwritten = Unwritten(cursor, log)
        self._single = single
        self._scan_type = SingleScan if single else Scan
        self._passed: dict[tuple[Position, int], Hit] = {}
        self._left_out = 0

    async def elsewhere(self) -> int:
        """How many hits the last search has left out, since they were in other address spaces than their points."""
        passed, self._passed = self._passed, {}
        async with aclosing(self._judged(_listed([passed[place] for place in sorted(passed)]))) as hits:
            async for _ in hits:
                self._left_out += 1
        return self._left_out

    def _sieve(self, points: Sequence[Point], accept: Accept | None) -> Sieve | None:
        return sieve_for(self._accelerator, self._cursor.timeline, self._cursor.start_at, points, accept)

    def _trail(self) -> Trail:
        return Trail(self._cursor.start_at, self._known, self._cursor.leave, self._hits.note_judged)

    async def all(
        self, points: Sequence[Point], start: Position, end: Position, accept: Accept | None, *, foreign: bool = False
    ) -> AsyncGenerator[Hit, None]:
        """Every hit from ``start`` to ``end``, in order; also those in other address spaces if ``foreign``."""
        self._passed, self._left_out = {}, 0
        start, end = _narrowed(points, start, end)
        if start >= end:
            return
        lives = Lives(points)
        await self._begin(lives, start)
        found = self._counted(lives, start, end, accept, foreign=foreign)
        # Of writes under a condition some are left out, so that one need not find what the one before has left.
        all_writes = write_condition(accept) is None
        async with aclosing(self._unwritten.among(lives, start, end, found) if all_writes else found) as hits:
            async for hit in hits:
                yield hit

    async def _counted(
        self, lives: Lives, start: Position, end: Position, accept: Accept | None, *, foreign: bool
    ) -> AsyncGenerator[Hit, None]:
        """The hits of :meth:`all`, but for what no instruction has written."""
        here = self._cursor.position
        async with aclosing(self._everywhere(lives.points, start, end, accept)) as hits:
            async for hit in hits:
                if lives.is_guard(hit):
                    if hit.position > here:
                        lives.end(hit)
                elif lives.counts(hit):
                    yield hit
                elif foreign:
                    yield replace(hit, foreign=True)
                else:
                    self._left_out += 1

    def _known(self) -> Timeline:
        return self._cursor.timeline

    async def begun(self, space: AddressSpace) -> Position:
        """Where ``space``, the one at the cursor, has begun; the start where its root was never another one's."""
        guards = Lives([Watchpoint(0, 0, 1, space=space)]).guards
        found = await self._last(self._cursor.position, guards, None, {}) if guards else None
        return found.position if found else START

    async def _begin(self, lives: Lives, start: Position) -> None:
        """Find out which lives the address spaces have at the cursor, for a search from ``start`` on."""
        here = self._cursor.position
        for guard in lives.guards:
            if start < here:
                if found := await self._last(here, [guard], None, {}):
                    lives.begin(found)
            elif here < start:
                async with aclosing(self._everywhere([guard], here, start, None)) as hits:
                    async for hit in hits:
                        lives.end(hit)

    async def _everywhere(
        self, points: Sequence[Point], start: Position, end: Position, accept: Accept | None
    ) -> AsyncGenerator[Hit, None]:
        """Every hit, judged, whatever address space it is in."""
        if any_physical(points):
            for low, high in reversed(self._mappings.stretches(self._cursor.timeline, start, end)):
                watched = await self._mappings.watched(self._cursor.timeline, points, low, high)
                async with aclosing(watched.meant_all(self._everywhere(watched.points, low, high, accept))) as hits:
                    async for hit in hits:
                        yield hit
            return
        for piece in self._hits.pieces(points, start, end, judged=accept is not None):
            # Where there is a single QEMU it judges hits when all are found, and whoever is given one may need it.
            at_once = self._single and (accept is None or may_break(points))
            if piece.hits is None:
                found = self._scanned(points, piece.start, piece.end, accept)
                found = self._judged(all_at_once(found) if at_once else found)
                if accept is None:
                    found = self._hits.noting(points, piece.start, piece.end, found)
            else:
                found = self._judged(_listed(piece.hits))
            async with aclosing(all_at_once(found) if at_once else found) as hits:
                async for hit in hits:
                    yield hit

    async def _judged(self, hits: AsyncGenerator[Hit, None]) -> AsyncGenerator[Hit, None]:
        """``hits`` without those that are none."""
        trail = self._trail()
        try:
            async with aclosing(hits):
                async for hit in hits:
                    if judged := await trail.judged(hit):
                        yield judged
        finally:
            await trail.close()

    async def go_to_first(self, points: Sequence[Point], accept: Accept | None) -> Hit | None:
        """Move the cursor forward to the first hit; if there is none it is left on the way."""
        origin, lives = self._cursor.position, Lives(points)
        machine = (await self._cursor.walker()).machine if chained(points) else None
        there = {point.number: await lying(machine, point) for point in chained(points)} if machine else {}
        first = await self._go_to_first(lives, accept)
        before = await self._unwritten.first(lives, origin, first, there)
        if before is None:
            return first
        await self._cursor.go(before.position)
        return before

    async def _go_to_first(self, lives: Lives, accept: Accept | None) -> Hit | None:
        points, origin = lives.wanted, self._cursor.position
        start, end = _narrowed(points, origin, self._cursor.timeline.end)
        self._passed, self._left_out = {}, 0
        if any_physical(points):
            for low, high in reversed(self._mappings.stretches(self._cursor.timeline, start, end)):
                watched = await self._mappings.watched(self._cursor.timeline, lives.points, low, high)
                await self._cursor.go(low)
                first = await self._run(lives, watched.points, high, accept, include_start=low != origin)
                if first:
                    return watched.meant(first)
            return None
        for piece in self._hits.pieces(lives.points, start, end, judged=accept is not None):
            if piece.hits is None:
                await self._cursor.go(piece.start)
                first = await self._run(lives, lives.points, piece.end, accept, include_start=piece.start != origin)
            else:
                first = await self._first_of(lives, piece.hits, origin)
                if first:
                    await self._cursor.go(await self._exact(first))
            if first:
                return first
        return None

    def _counts(self, lives: Lives, hit: Hit) -> bool:
        """Whether ``hit``, the next one on the way forward, is one that is looked for; the others are counted."""
        if lives.is_guard(hit):
            lives.end(hit)
            return False
        if not lives.counts(hit):
            self._left_out += 1
            return False
        return True

    async def _first_of(self, lives: Lives, hits: Sequence[Hit], origin: Position) -> Hit | None:
        """The first of ``hits``, which are known, ahead of ``origin``."""
        ahead = [hit for hit in hits if hit.position > origin or isinstance(hit.point, Watchpoint)]
        async with aclosing(self._judged(_listed(ahead))) as judged:
            async for hit in judged:
                if self._counts(lives, hit):
                    return hit
        return None

    async def last(self, here: Position, points: Sequence[Point], accept: Accept | None) -> tuple[Position, Hit] | None:
        """The last hit before ``here``, and where going back to it stops."""
        last, lives = await self._last_counted(here, points, accept)
        unwritten = await self._unwritten.last(lives, here, last)
        self._passed = {
            place: hit for place, hit in self._passed.items() if unwritten is None or hit.position > unwritten.position
        }
        if unwritten and unwritten.unwritten:
            return unwritten.unwritten.before, unwritten
        if last is None:
            return None
        watched = isinstance(last.point, Watchpoint)
        return await (self.before(last.position) if watched else self._exact(last)), last

    async def _last_counted(
        self, here: Position, points: Sequence[Point], accept: Accept | None
    ) -> tuple[Hit | None, Lives]:
        """The last hit before ``here`` that counts, and what is known of the lives of its address spaces."""
        passed: dict[tuple[Position, int], Hit] = {}
        since, edge = _narrowed(points, START, here)
        wanted, known = list(points) if since < edge else [], Lives(points)
        while wanted:
            lives = Lives(wanted)
            last = await self._last(edge, lives.points, accept, passed, since)
            if last is None or not lives.is_guard(last):
                break
            lives.end(last)
            known.begin_at(lives.root(last), last.position)
            edge, wanted = last.position, lives.left
        else:
            last = None
        self._left_out = 0
        self._passed = {place: hit for place, hit in passed.items() if last is None or hit.position > last.position}
        return last, known

    async def _last(
        self,
        here: Position,
        points: Sequence[Point],
        accept: Accept | None,
        passed: dict[tuple[Position, int], Hit],
        since: Position = START,
    ) -> Hit | None:
        """The last hit before ``here`` in its address space; those in others are ``passed``, by place and number.

        None if there is none from ``since`` on.
        """
        if any_physical(points):
            for low, high in self._mappings.stretches(self._cursor.timeline, since, here):
                watched = await self._mappings.watched(self._cursor.timeline, points, low, high)
                if last := await self._last(high, watched.points, accept, passed, low):
                    return watched.meant(last)
            return None

        def note(low: Position, high: Position, hits: Sequence[Hit]) -> None:
            passed.update(_elsewhere(hits))
            if accept is None:
                self._hits.note(points, low, high, hits)

        timeline, trail, sieve = self._cursor.timeline, self._trail(), self._sieve(points, accept)
        search = Search(
            timeline, points, self._cursor.start_at, self._report, accept,
            single=self._single, note=note, near_last=self._accelerator.near_last, trail=trail, sieve=sieve,
        )  # fmt: skip
        among = self._parallel.backwards(timeline, points, accept, self._report, note) if self._parallel else None
        try:
            for piece in reversed(self._hits.pieces(points, since, here, judged=accept is not None)):
                if piece.hits is None:
                    last = await search.last_before(piece.end, piece.start, among)
                else:
                    passed.update(_elsewhere(piece.hits))
                    last = await judge_last(trail, list(piece.hits), lambda hit: hit.belongs)
                if last:
                    return last
        finally:
            await trail.close()
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
        self, lives: Lives, points: Sequence[Point], end: Position, accept: Accept | None, *, include_start: bool
    ) -> Hit | None:
        """Run the cursor forward to the first hit of ``points`` that counts, or without any to ``end``.

        ``include_start`` is as for a scan.
        """
        walker = await self._cursor.walker()
        start = walker.position
        passed: list[Hit] = []
        left_out = self._left_out
        try:
            first = await self._first(
                walker, lives, points, end, accept, passed, include_start=include_start, careful=self._single
            )
        except BROKEN:
            if self._single or not may_break(points):
                raise
            await self._cursor.drop()
            walker = await self._cursor.walker()
            passed.clear()
            self._left_out = left_out
            first = await self._first(
                walker, lives, points, end, accept, passed, include_start=include_start, careful=True
            )
        if first is None or (first.exact and walker.position == first.position):
            self._cursor.position = walker.position
        else:
            await self._cursor.drop()
            self._cursor.position = await self._exact(first)
        if accept is None:
            at_first = first and replace(first, position=self._cursor.position, exact=True)
            self._hits.note_run(points, start, at_first, end, passed)
        return first

    async def _first(
        self,
        walker: Walker,
        lives: Lives,
        points: Sequence[Point],
        end: Position,
        accept: Accept | None,
        passed: list[Hit],
        *,
        include_start: bool,
        careful: bool,
    ) -> Hit | None:
        """The first hit ahead of ``walker``, which stands at it or somewhat after it then; without one, at ``end``.

        Those that do not count are ``passed``, and put there.
        """
        start_at = self._cursor.start_at
        progress = self._cursor.progress(end, walker.position)
        trail = self._trail()
        if self._single:
            found = EagerScan(walker, points, end, start_at, accept, careful=careful).hits(
                progress, include_start=include_start
            )
        else:
            sieve = self._sieve(points, accept)
            found = sifted(
                walker, points, end, start_at, accept, sieve, progress, include_start=include_start,
                careful=careful,
            )  # fmt: skip
        try:
            async with aclosing(found) as hits:
                async for met in hits:
                    hit = await trail.judged(met)
                    if hit and self._counts(lives, hit):
                        return hit
                    passed += [hit] if hit else []
        finally:
            await trail.close()
        return None

    async def _scanned(
        self, points: Sequence[Point], start: Position, end: Position, accept: Accept | None
    ) -> AsyncGenerator[Hit, None]:
        """What a scan finds, or where it breaks, a careful one from there on."""
        seen: list[Hit] = []
        try:
            found = self._scan(points, start, end, accept, careful=self._single)
            async with aclosing(found) as hits:
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
        timeline, sieve = self._cursor.timeline, self._sieve(points, accept)
        if self._parallel and (segments := self._parallel.segments(timeline, start, end, accept)):
            found = self._parallel.scan(timeline, segments, points, accept, self._report, careful=careful)
            async with aclosing(found) as hits:
                async for hit in hits:
                    yield hit
            return
        walker = await self._cursor.start_at(timeline.landing_before(start))
        try:
            await walker.walk_to(start)
            start_at, progress = self._cursor.start_at, self._cursor.progress(end, start)
            if self._single:
                found = self._scan_type(walker, points, end, start_at, accept, careful=careful).hits(progress)
            else:
                found = sifted(walker, points, end, start_at, accept, sieve, progress, careful=careful)
            async with aclosing(found) as hits:
                async for hit in hits:
                    yield hit
        finally:
            await walker.machine.close()


def _narrowed(points: Sequence[Point], start: Position, end: Position) -> tuple[Position, Position]:
    """Where ``points`` may have hits that count: from the first to the last run of their tasks, if all have one."""
    tasks = [point.task for point in points]
    parts = [task.within(start, end) for task in tasks if task]
    if not parts or len(parts) < len(tasks):
        return start, end
    return min(low for low, _ in parts), max(high for _, high in parts)


def _elsewhere(hits: Sequence[Hit]) -> dict[tuple[Position, int], Hit]:
    """Those of ``hits`` that are in other address spaces than their points."""
    return {(hit.position, hit.point.number): hit for hit in hits if not hit.belongs}


async def _listed(hits: Sequence[Hit]) -> AsyncGenerator[Hit, None]:
    for hit in hits:
        yield hit
