"""Which writes change watched bytes, judged inside QEMU, so that the others cost no stop and no look before them.

The plugin (``links/watch.h``) compares the bytes before and after each write, and tells of those that differ. Where it
counts as QEMU does, or is known to have counted so many too many since the last fault, that is at a known icount: a
machine goes there and sees whether one step makes that change, and nobody has to look before it any more. Where it is
not, and where the plugin could not read the bytes before (an instruction's first write, what a delivery may have
written), a scan looks at a small window, and :mod:`rrdbg.engine.search.trail` judges what it finds.

Only ``watch`` can be asked for so: deliveries read, too, and of that the plugin sees nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import cast

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.access import StartAt
from rrdbg.engine.search.scan import BROKEN, Accept, Scan
from rrdbg.engine.search.sieve import Sieve, Window
from rrdbg.engine.search.survey import Survey
from rrdbg.engine.search.watch import hit_of, watched_bytes
from rrdbg.links.registers import RegisterFile
from rrdbg.links.tally import KEPT_VALUES
from rrdbg.model.hits.stop import Hit, Point, WatchKind, Watchpoint
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

_STOPS_OF_A_WINDOW = 4
"""A window costs as much as so many writes in a scan, each of which is a stop and a look before it."""

_STOPS_OF_A_SIGHTING = 1

_SHORT = 10_000
"""Instructions."""


def sieve_for(
    accelerator: Accelerator,
    timeline: Timeline,
    start_at: StartAt,
    points: Sequence[Point],
    accept: Accept | None,
    *,
    jumps: bool = True,
) -> Sieve | None:
    """What can ask the plugin in a search for ``points``, or None if they are not such."""
    writes = [point for point in points if isinstance(point, Watchpoint) and point.kind is WatchKind.WRITE]
    if writes and len(writes) == len(points) and not any(point.physical for point in writes):
        return (
            WriteSieve(accelerator, timeline, start_at, points, None, {}, jumps=jumps)
            if accelerator.may_judge
            else None
        )
    return Sieve.of(accelerator, timeline, start_at, points, accept, jumps=jumps)


class WriteSieve(Sieve):
    """A search for writes that change something; make it with :func:`sieve_for`."""

    _ahead: int | None = None
    """How many instructions too many the plugin had counted at the last place that was found."""

    _confirmed = 0
    """The icount of that."""

    async def can_judge(self, layout: RegisterFile) -> bool:
        """Whether the plugin can be asked."""
        return await self._accelerator.judging({}, layout) is not None

    async def _survey(self, icount: int) -> Survey | None:
        self._ahead = None  # each counts from where it has begun
        return await self._accelerator.survey(self._timeline, icount, self._points, changes=True)

    def _stops(self, windows: list[Window]) -> float:
        return sum(_STOPS_OF_A_SIGHTING if window.sightings else _STOPS_OF_A_WINDOW for window in windows)

    def _around(self, survey: Survey, count: int, low: Position, high: Position) -> list[Window]:
        if count > KEPT_VALUES:
            return [Window(low, high, None)]
        plain = self._timeline.deliveries
        windows: list[Window] = []
        for sighting in survey.tally(count).latest:
            place = survey.place(sighting.executed)
            earliest = place.high if survey.is_exact and sighting.change else place.low
            start = max(low, Position(plain.plain_at_or_before(earliest - 1)))
            end = min(high, Position(plain.plain_after(place.high)))
            if sighting.change:
                same = windows.pop().sightings if windows and windows[-1].latest == place.high else ()
                windows.append(Window(start, end, None, (*same, sighting), place.high))
                continue
            while windows and not windows[-1].sightings and windows[-1].end > start:
                start, end = min(start, windows[-1].start), max(end, windows.pop().end)
            windows.append(Window(start, end, None))
        return windows

    def _entry(self, window: Window) -> Position:
        place = self._place(window)
        return window.start if place is None else Position(place - 1)

    def _place(self, window: Window) -> int | None:
        """The icount behind the write that the plugin has told of; None where that is not known yet."""
        if not window.sightings:
            return None
        plain = self._timeline.deliveries
        place = window.latest
        if window.start.icount < plain.plain_at_or_before(place - 1):
            # As many as there were counted too many, if nothing has faulted in between.
            low, high = sorted((self._confirmed, place))
            if self._ahead is None or plain.count(Delivery.EXCEPTION, low, high):
                return None
            place -= self._ahead
        return place if plain.is_plain(place) and plain.is_plain(place - 1) else None

    async def _look(self, walker: Walker, window: Window) -> list[Hit]:
        place = self._place(window)
        if place is not None:
            return await self._confirm(walker, window)
        try:
            # Where something is delivered a watchpoint may break the machine, and most windows are short.
            found = await self._scanned(walker, window, careful=window.end.icount - window.start.icount < _SHORT)
        except BROKEN:
            await walker.machine.close()
            other = await self._at(None, window.start)
            try:
                found = await self._scanned(other, window, careful=True)
            finally:
                await other.machine.close()
        told = [each.change.after for each in window.sightings if each.change]
        if len(found) == 1 and told == [hit.change.after for hit in found if hit.change]:
            self._confirmed = found[0].position.icount
            self._ahead = window.latest - self._confirmed
        return found

    async def _scanned(self, walker: Walker, window: Window, *, careful: bool) -> list[Hit]:
        scan = Scan(walker, self._points, window.end, self._start_at, careful=careful)
        async with aclosing(scan.hits()) as hits:
            return [hit async for hit in hits]

    async def _confirm(self, walker: Walker, window: Window) -> list[Hit]:
        """The writes that the plugin has told of, if the next step of ``walker`` makes them."""
        told = [(cast(Watchpoint, each.point), each.change) for each in window.sightings]
        before = [await watched_bytes(walker.machine, point) for point, _ in told]
        await walker.step()
        found = [await hit_of(walker, point, old) for (point, _), old in zip(told, before, strict=True)]
        if [hit.change for hit in found] != [change for _, change in told]:
            self._doubt(f"it has told of writes that lead to {walker.position}, and there are others, or none")
            return []
        self._confirmed, self._ahead = walker.position.icount, window.latest - walker.position.icount
        return found
