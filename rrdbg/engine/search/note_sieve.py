"""Hits of breakpoints with what is to be known of each, read inside QEMU, so that none costs a stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

from rrdbg.engine.search.ledger_sieve import LedgerSieve
from rrdbg.engine.search.roots import Roots
from rrdbg.links.address_space import space_in_use
from rrdbg.links.reading import Reading, Value
from rrdbg.links.registers import RegisterFile
from rrdbg.links.tally import Sighting
from rrdbg.model.hits.stop import Breakpoint, Hit, NotedHit
from rrdbg.model.timeline.position import Position


@runtime_checkable
class Notes(Protocol):
    """Who notes something at hits, by values alone that can be read where they are."""

    def readings(self, point: Breakpoint) -> Sequence[Reading]:
        """What is to be read at a hit of ``point``."""
        ...

    def noted(self, point: Breakpoint, values: Sequence[Value]) -> object:
        """What is noted, by the values of the :meth:`readings`.

        :raises UntoldError: they do not say.
        """
        ...


def notes_of(judge: object) -> Notes | None:
    """``judge`` if it is such."""
    return judge if isinstance(judge, Notes) else None


class NoteSieve(LedgerSieve):
    """A search for all hits, each with its note; what judges them is :class:`Notes`."""

    takes_all = True

    @property
    def _notes(self) -> Notes:
        return cast(Notes, self._accept)

    async def can_judge(self, layout: RegisterFile) -> bool:
        """Whether the plugin can be asked."""
        self._roots = Roots(layout, self._timeline, self._start_at)
        breakpoints = [point for point in self._points if isinstance(point, Breakpoint)]
        readings = {point.address: self._notes.readings(point) for point in breakpoints}
        conditions = {address: condition for address, condition in self._conditions.items() if condition.alternatives}
        self._judging = await self._accelerator.judging(conditions, layout, readings, self._roots.readings)
        return self._judging is not None

    async def _hit(self, sighting: Sighting, position: Position) -> Hit:
        point = sighting.point
        assert isinstance(point, Breakpoint), "nothing else is looked for"
        assert self._judging is not None
        own = len(self._judging.readings[point.address])
        note = self._notes.noted(point, sighting.values[:own])
        root = await self._roots.root(sighting.values[own:], position)
        return NotedHit(position, point.address, point, space=root, note=note)

    async def _seen(self, hit: Hit) -> Hit | None:
        assert isinstance(hit.point, Breakpoint)
        assert self._accept is not None
        walker = await self._at(None, hit.position)
        try:
            note = await self._accept(walker.machine, hit.point)
            space = await space_in_use(walker.machine)
            return NotedHit(walker.position, await walker.machine.pc(), hit.point, space=space, note=note)
        finally:
            await walker.machine.close()
