"""While a task runs: which hits count for who asks about one task alone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from rrdbg.model.linux.switches import Stretch
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class TaskRuns:
    """The ``stretches`` in which the task runs that is called ``name``, in order; they may abut.

    Two of the same name are equal: their stretches are of one recording.
    """

    name: str
    stretches: tuple[Stretch, ...] = field(compare=False, repr=False)

    def begins_at(self, position: Position) -> bool:
        """Whether the instruction that begins at ``position`` is the task's."""
        number = bisect_right(self.stretches, position, key=_start)
        return number > 0 and position < self.stretches[number - 1][1]

    def ends_at(self, position: Position) -> bool:
        """Whether the instruction that has ended at ``position`` is the task's."""
        number = bisect_left(self.stretches, position, key=_start)
        return number > 0 and position <= self.stretches[number - 1][1]

    def within(self, start: Position, end: Position) -> Stretch:
        """What lies from the first run to the last one between two positions; an empty stretch where there is none."""
        low = next((max(start, low) for low, high in self.stretches if start < high), end)
        high = next((min(end, high) for low, high in reversed(self.stretches) if low < end), start)
        return (low, high) if low < high else (end, end)

    def at_or_after(self, position: Position) -> Position | None:
        """The first position from ``position`` on at which it runs; None if it does not any more."""
        if self.begins_at(position):
            return position
        number = bisect_right(self.stretches, position, key=_start)
        return self.stretches[number][0] if number < len(self.stretches) else None

    def last_before(self, position: Position) -> Position | None:
        """The last position before ``position`` at which it begins an instruction; None if it has not run by then."""
        for low, high in self.backward(position):
            return max(low, Position(high.icount if high.phase else high.icount - 1))
        return None

    def backward(self, position: Position) -> Iterator[Stretch]:
        """The stretches that begin before ``position``, the last one first, which ends there at the latest."""
        number = bisect_left(self.stretches, position, key=_start)
        for low, high in reversed(self.stretches[:number]):
            yield low, min(high, position)

    def instructions(self, start: Position, end: Position) -> int:
        """How many instructions it executes between two positions."""
        return sum(high.icount - low.icount for low, high in self._between(start, end))

    def after(self, start: Position, count: int) -> int:
        """The icount at which it has executed ``count`` instructions from ``start`` on."""
        here = start.icount
        for low, high in self._between(start, self.stretches[-1][1]):
            here = min(low.icount + count, high.icount)
            count -= high.icount - low.icount
            if count < 0:
                break
        return here

    def _between(self, start: Position, end: Position) -> Iterator[Stretch]:
        number = max(bisect_right(self.stretches, start, key=_start) - 1, 0)
        for low, high in self.stretches[number:]:
            if low >= end:
                return
            if high > start:
                yield max(low, start), min(high, end)

    def __str__(self) -> str:
        return self.name


def _start(stretch: Stretch) -> Position:
    return stretch[0]
