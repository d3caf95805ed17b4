"""From where on which task ran: the switches of a recording, as far as it was looked at."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rrdbg.model.linux.task import Task
from rrdbg.model.timeline.position import Position

MOST_SWITCHES = 1_000_000
"""What is kept of one recording; a second of a busy guest has some thousand."""

Stretch = tuple[Position, Position]
"""A part of a recording, its end not included."""


@dataclass(frozen=True, slots=True)
class Switch:
    """From ``position`` on the kernel's running task is ``task``; there the instruction is done that says so.

    It may be the same one that ``goes_on``: it gives itself another name, as by execve, or the list begins there.
    """

    position: Position
    task: Task
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """How often a task has begun to run, in how many instructions, and when for the first and the last time."""

    task: Task
    times: int
    instructions: int
    first: Position
    last: Position


@dataclass(frozen=True, slots=True)
class Switches:
    """All switches in the stretches ``covered``, both in order; stretches do not touch."""

    covered: tuple[Stretch, ...] = ()
    switches: tuple[Switch, ...] = ()

    def missing(self, start: Position, end: Position) -> list[Stretch]:
        """The parts from ``start`` to ``end`` that were not looked at."""
        gaps, here = [], start
        for low, high in self.covered:
            if high <= here or low >= end:
                continue
            if low > here:
                gaps.append((here, low))
            here = max(here, high)
        return [*gaps, (here, end)] if here < end else gaps

    def added(self, start: Position, end: Position, found: Sequence[Switch]) -> Switches:
        """With all that there are from ``start`` to ``end``, which was missing."""
        covered: list[Stretch] = []
        for low, high in sorted([*self.covered, (start, end)]):
            if covered and low <= covered[-1][1]:
                covered[-1] = covered[-1][0], max(high, covered[-1][1])
            else:
                covered.append((low, high))
        return Switches(tuple(covered), tuple(_needed(sorted([*self.switches, *found], key=_place), covered)))

    def joined(self, other: Switches) -> Switches:
        """What either knows."""
        known = self
        for low, high in other.covered:
            for start, end in known.missing(low, high):
                known = known.added(start, end, other.between(start, end))
        return known

    def between(self, start: Position, end: Position) -> tuple[Switch, ...]:
        """Those that are known from ``start`` on and before ``end``."""
        low, high = (bisect_left(self.switches, place, key=_place) for place in (start, end))
        return self.switches[low:high]

    def task_at(self, position: Position) -> Task | None:
        """Who runs at ``position``; None if that is not known."""
        stretch = next((known for known in self.covered if known[0] <= position < known[1]), None)
        number = bisect_right(self.switches, position, key=_place)
        if stretch is None or not number or self.switches[number - 1].position < stretch[0]:
            return None
        return self.switches[number - 1].task

    def runs(self) -> Iterator[tuple[Switch, Position]]:
        """Each switch, and up to where its task ran: to the next one, or as far as was looked at."""
        for switch, following in zip(self.switches, [*self.switches, None][1:], strict=True):
            end = next(high for _, high in self.covered if switch.position < high)
            yield switch, min(following.position, end) if following else end

    def summary(self, start: Position, end: Position) -> list[Ran]:
        """Who has run between two positions, from the first switch there on; who ran longest comes first."""
        there = self.between(start, end)
        spans = zip(there, [*(each.position for each in there), end][1:], strict=True)
        found: dict[tuple[int, int, str], Ran] = {}
        for switch, until in spans:
            task, length = switch.task, until.icount - switch.position.icount
            # A number is used again some day, and a name is another one after execve.
            key = (task.address, task.pid, task.comm)
            known = found.get(key)
            found[key] = Ran(
                task,
                known.times + 1 if known else 1,
                (known.instructions if known else 0) + length,
                known.first if known else switch.position,
                switch.position,
            )
        return sorted(found.values(), key=lambda ran: -ran.instructions)


def _needed(switches: Sequence[Switch], covered: Sequence[Stretch]) -> Iterator[Switch]:
    """Without beginnings of a list where another one has come to end: there the task is known."""
    begins = {low for low, _ in covered}
    last: Task | None = None
    for switch in switches:
        if not switch.goes_on or switch.task != last or switch.position in begins:
            yield switch
        last = switch.task


def _place(switch: Switch) -> Position:
    return switch.position
