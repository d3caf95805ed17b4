"""The lives of address spaces: a root of page tables may be a later process's, too.

A point that means an address space has a guard set beside it, eight bytes of the page of its root that change whenever
that becomes another one's. Behind such a change, seen from the cursor, nothing counts for the point any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rrdbg.model.hits.stop import Hit, Point, Watchpoint
from rrdbg.model.timeline.position import Position

_FIRST = 1 << 40
"""Guards are numbered from here on downwards, below zero; nobody else's points are."""

_BYTES = 8


class Lives:
    """What counts of the hits of ``points``; ``points`` then are those to set, guards included."""

    def __init__(self, points: Iterable[Point]) -> None:
        wanted = list(points)
        spaces = {point.space for point in wanted if point.space}
        guarded = sorted((space.guard, space.root) for space in spaces if space.guard is not None)
        self.guards: Sequence[Watchpoint] = [
            Watchpoint(-_FIRST - number, guard, _BYTES) for number, (guard, _) in enumerate(guarded)
        ]
        """The guards alone."""
        self.points: Sequence[Point] = [*wanted, *self.guards]
        self._roots = {guard.number: root for guard, (_, root) in zip(self.guards, guarded, strict=True)}
        self._begun: dict[int, Position] = {}
        self._ended: set[int] = set()

    def is_guard(self, hit: Hit) -> bool:
        """True if ``hit`` tells that a root has become another address space's."""
        return hit.point.number in self._roots

    def begin(self, hit: Hit) -> None:
        """The address space at the cursor began with ``hit``, one of a guard."""
        self._begun[self._roots[hit.point.number]] = hit.position

    def end(self, hit: Hit) -> None:
        """It ended with ``hit``, going away from the cursor."""
        self._ended.add(self._roots[hit.point.number])

    @property
    def left(self) -> list[Point]:
        """The points that may still have hits: those that mean an address space which has ended have none."""
        return [
            point
            for point in self.points
            if point.number not in self._roots and not (point.space and point.space.root in self._ended)
        ]

    def counts(self, hit: Hit) -> bool:
        """False if ``hit`` is a guard's, or in another address space than its point means, or in another life of it."""
        if self.is_guard(hit) or not hit.belongs:
            return False
        space = hit.point.space
        if space is None:
            return True
        begun = self._begun.get(space.root)
        return space.root not in self._ended and (begun is None or hit.position > begun)
