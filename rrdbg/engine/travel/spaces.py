"""Which address space, or which task, the points of a movement or a search are meant in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from rrdbg.links.address_space import guard_of, space_of
from rrdbg.links.machine import Machine
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.stop import Point, Watchpoint
from rrdbg.model.hits.task_runs import TaskRuns

P = TypeVar("P", bound=Point)


class Spaces:
    """Watchpoints belong to the address space at the cursor where they are first used, if their address depends on it.

    Breakpoints belong to none unless somebody says so: who sets one on ``main`` waits for any process that comes by.
    While one ``task`` alone is meant, all points count where that runs, in whatever address space.
    """

    def __init__(self) -> None:
        self.everywhere = False
        """True to have watchpoints count in every address space."""
        self.task: TaskRuns | None = None
        """Who alone is meant, unless a point says something else."""
        self.on_meant: Callable[[Watchpoint, AddressSpace], None] = lambda point, space: None
        """Told where a movement's watchpoint is found to belong to an address space."""
        self._guards: dict[int, int | None] = {}
        self._meant: dict[Watchpoint, AddressSpace | None] = {}

    async def here(self, machine: Machine, address: int) -> AddressSpace | None:
        """The address space that ``address`` belongs to where ``machine`` stands; None if it means the same in all."""
        root = await space_of(machine, address)
        if root is None:
            return None
        if root not in self._guards:
            # Where the kernel's own mapping of all memory lies it stays from early on.
            self._guards[root] = await guard_of(machine, root)
        return AddressSpace(root, self._guards[root])

    def unbound(self, points: Sequence[Point]) -> bool:
        """True if some of ``points`` are to be bound, so that a machine is needed."""
        return (
            not self.everywhere
            and not self.task
            and any(_is_free(point) and point not in self._meant for point in points)
        )

    async def bound(self, machine: Machine, points: Sequence[P]) -> tuple[P, ...]:
        """``points``, of which watchpoints mean the address space where ``machine`` stands."""
        points = self._of_task(points)
        if self.everywhere:
            return tuple(points)
        return tuple([replace(p, space=await self.here(machine, p.address)) if _is_free(p) else p for p in points])

    async def meant(self, machine: Machine | None, points: Sequence[P]) -> tuple[P, ...]:
        """As :meth:`bound`; those that were there the last time mean what they meant then, and need no machine."""
        points = self._of_task(points)
        if self.everywhere:
            return tuple(points)
        found = []
        for point in points:
            if isinstance(point, Watchpoint) and _is_free(point):
                if point not in self._meant:
                    assert machine is not None
                    space = self._meant[point] = await self.here(machine, point.address)
                    if space:
                        self.on_meant(point, space)
                point = replace(point, space=self._meant[point])
            found.append(point)
        return tuple(found)

    def _of_task(self, points: Sequence[P]) -> Sequence[P]:
        """``points``, of which those that say nothing else mean the task."""
        if self.task is None:
            return points
        return [point if point.task or point.space else replace(point, task=self.task) for point in points]

    def keep(self, points: Sequence[Point]) -> None:
        """These are all that are set: what others meant is forgotten, and found out anew where they come again."""
        self._meant = {point: space for point, space in self._meant.items() if point in points}

    def forget(self) -> None:
        """Points are meant anew where they are used next."""
        self._meant.clear()


def _is_free(point: Point) -> bool:
    is_bound = point.space or point.task or (isinstance(point, Watchpoint) and point.physical)
    return isinstance(point, Watchpoint) and not is_bound
