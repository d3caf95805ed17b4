"""Breakpoint conditions, judged here at each hit, so that GDB never hears of the false ones."""

from __future__ import annotations

from rrdbg.engine.queries.evaluate import holds
from rrdbg.frontends.server.points import PointSet
from rrdbg.links.machine import Machine
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint


class Conditions:
    """Judges hits by the conditions of ``points``; it is an :data:`rrdbg.engine.search.scan.Accept`."""

    def __init__(self, points: PointSet) -> None:
        self._points = points

    def condition(self, point: Breakpoint) -> Condition:
        """When ``point`` counts; see :class:`~rrdbg.model.hits.condition.Conditional`."""
        return Condition(() if point.number >= 0 else tuple(self._points.conditions_at(point.address)))

    async def __call__(self, machine: Machine, point: Breakpoint) -> bool:
        """True if the breakpoint at which ``machine`` stands counts.

        A condition that cannot be evaluated counts as true, as in GDB's own server: GDB then evaluates it
        again and tells the user what is wrong with it.
        """
        return await holds(self.condition(point), machine)
