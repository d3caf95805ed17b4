"""While a task runs: which hits count for who asks about one task alone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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

    def __str__(self) -> str:
        return self.name


def _start(stretch: Stretch) -> Position:
    return stretch[0]
