"""By which virtual addresses instructions write to a place in physical memory: what a search for such writes watches.

QEMU's watchpoints are on virtual addresses, and any number of those may be mapped to a frame, now and then. QEMU's
plugins are told of the physical address of each write as it is made, so a pass with ours tells by which addresses the
frame was reached in a stretch. All of these are watched, in whatever address space; what counts is whether the bytes
of the frame change, so writes to other memory that the same address means elsewhere are none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from rrdbg.engine.machines.progress import ProgressListener, Stretch
from rrdbg.engine.machines.ram import is_ram, is_told_by_7_2
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import LinkError, UsageError
from rrdbg.links.tally import KEPT
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Hit, Point, Watchpoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.travel.plan import plan_reverse_scan

_FIRST = 1 << 41
"""Watchpoints on such addresses are numbered from here on downwards, below zero; nobody else's points are."""

_REMEMBERED = 4096
"""Stretches of places that are not looked at again."""

_Place = tuple[Position, Position, PhysicalPlace]


def any_physical(points: Sequence[Point]) -> bool:
    """True if some of ``points`` are in physical memory, and it is not said by which addresses."""
    return any(isinstance(point, Watchpoint) and point.physical and point.number > -_FIRST for point in points)


class Mappings:
    """What ``accelerator`` finds out of the stretches of one recording; told to ``report`` as it goes on."""

    def __init__(self, accelerator: Accelerator, report: ProgressListener) -> None:
        self._accelerator = accelerator
        self._report = report
        self._known: dict[_Place, tuple[int, ...]] = {}

    def stretches(self, timeline: Timeline, start: Position, end: Position) -> list[tuple[Position, Position]]:
        """The timeline from ``start`` to ``end`` in parts that are looked at one after the other, the latest first."""
        segments = plan_reverse_scan(timeline, end, timeline.landing_before(start))
        parts = [(max(segment.start, start), segment.end) for segment in segments]
        return [(low, high) for low, high in parts if low < high]

    async def watched(self, timeline: Timeline, points: Sequence[Point], start: Position, end: Position) -> Watched:
        """What to watch between ``start`` and ``end`` for ``points``, of which some are in physical memory.

        :raises UsageError: that cannot be found out here.
        """
        places = {point.physical for point in points if isinstance(point, Watchpoint) and point.physical}
        missing = [place for place in places if (start, end, place) not in self._known]
        if missing:
            found = await self._look(timeline, missing, start, end)
            while len(self._known) + len(missing) > _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known.update({(start, end, place): found[place] for place in missing})
        return Watched(points, {place: self._known[start, end, place] for place in places})

    async def _look(
        self, timeline: Timeline, places: Sequence[PhysicalPlace], start: Position, end: Position
    ) -> dict[PhysicalPlace, tuple[int, ...]]:
        """The addresses by which each of ``places`` is written to."""
        survey = await self._accelerator.survey(timeline, timeline.landing_before(start), places)
        if survey is None:
            raise UsageError(await self._refusal())
        try:
            await self._check(survey, places)
            progress = Stretch.alone(timeline.cost, start.icount, end.icount, self._report).at
            await survey.arrive(end, progress)
            tally = survey.tally()
        except LinkError as error:
            self._accelerator.give_up(error)
            raise UsageError(await self._refusal()) from None
        finally:
            await survey.close()
        if tally.hits > KEPT:
            raise UsageError(
                f"{places[0]} is written to by more than {KEPT:,} addresses between {start} and {end}; ask about a "
                "shorter part."
            )
        found: dict[PhysicalPlace, dict[int, None]] = {place: {} for place in places}
        for sighting in tally.latest:
            if isinstance(sighting.point, PhysicalPlace):
                found[sighting.point][sighting.address] = None
        return {place: tuple(addresses) for place, addresses in found.items()}

    async def _check(self, survey: Survey, places: Sequence[PhysicalPlace]) -> None:
        qmp = survey.walker.machine.qmp
        for place in places:
            if not await is_ram(qmp, place):
                raise UsageError(f"There is no RAM at {place} ('monitor info mtree -f' lists it).")
            if not survey.tells_physical and not await is_told_by_7_2(qmp, place):
                raise UsageError(
                    f"This QEMU does not tell plugins of writes to {place}: before version 9.0 only of those to the "
                    "RAM that comes first, on a PC below 4 GiB. Replay by a newer one, or ask about a virtual address."
                )

    async def _refusal(self) -> str:
        info = await self._accelerator.info()
        return f"By which addresses physical memory is written to only QEMU's plugin tells. {info.text}"


class Watched:
    """``points`` as they are set on a stretch: each one in physical memory as one by each of the ``addresses``."""

    def __init__(self, points: Sequence[Point], addresses: dict[PhysicalPlace, tuple[int, ...]]) -> None:
        self.points: list[Point] = []
        """What to set."""
        self._meant: dict[int, Point] = {}
        for point in points:
            if not (isinstance(point, Watchpoint) and point.physical):
                self.points.append(point)
                continue
            for address in addresses[point.physical]:
                number = -_FIRST - len(self._meant)
                self._meant[number] = point
                self.points.append(replace(point, number=number, address=address))

    def meant(self, hit: Hit) -> Hit:
        """``hit`` as one of the point that was asked for."""
        point = self._meant.get(hit.point.number)
        return replace(hit, point=point) if point else hit

    async def meant_all(self, hits: AsyncGenerator[Hit, None]) -> AsyncGenerator[Hit, None]:
        """``hits``, in order, as those of the points that were asked for, each once."""
        told: list[tuple[Position, int]] = []
        async with aclosing(hits):
            async for hit in hits:
                meant = self.meant(hit)
                place = meant.position, meant.point.number
                if place in told:
                    continue
                told = [known for known in told if known[0] == meant.position] + [place]
                yield meant
