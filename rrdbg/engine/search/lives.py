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
        self.wanted: Sequence[Point] = list(points)
        """The points alone."""
        spaces = {point.space for point in self.wanted if point.space}
        guarded = sorted((space.guard, space.root) for space in spaces if space.guard is not None)
        self.guards: Sequence[Watchpoint] = [
            Watchpoint(-_FIRST - number, guard, _BYTES) for number, (guard, _) in enumerate(guarded)
        ]
        """The guards alone."""
        self.points: Sequence[Point] = [*self.wanted, *self.guards]
        self._roots = {guard.number: root for guard, (_, root) in zip(self.guards, guarded, strict=True)}
        self._begun: dict[int, Position] = {}
        self._ended: set[int] = set()

    def is_guard(self, hit: Hit) -> bool:
        """True if ``hit`` tells that a root has become another address space's."""
        return hit.point.number in self._roots

    def begin(self, hit: Hit) -> None:
        """The address space at the cursor began with ``hit``, one of a guard."""
        self._begun[self.root(hit)] = hit.position

    def begin_at(self, root: int, position: Position) -> None:
        """The one of ``root`` at the cursor began at ``position``."""
        self._begun[root] = position

    def root(self, hit: Hit) -> int:
        """Whose ``hit``, one of a guard, it is."""
        return self._roots[hit.point.number]

    def end(self, hit: Hit) -> None:
        """It ended with ``hit``, going away from the cursor."""
        self._ended.add(self.root(hit))

    def known_from(self, point: Point, start: Position, here: Position) -> Position | None:
        """From where on, at or above ``start``, the address space of ``point`` is the one at the cursor, ``here``.

        None if nobody knows.
        """
        if point.space is None:
            return start
        if point.space.guard is None:
            return start if start == here else None
        return max(start, self._begun.get(point.space.root, start))

    def lasts(self, point: Point) -> bool:
        """True if it has not ended as far as hits have been told."""
        return point.space is None or point.space.root not in self._ended

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
