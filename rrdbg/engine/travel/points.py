"""The breakpoints and watchpoints that the user has set, by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rrdbg.errors import UsageError
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind, Watchpoint, check_watch_length
from rrdbg.model.hits.task_runs import TaskRuns


class PointList:
    """A collection of points; numbers count from 1 and are never given twice."""

    def __init__(self) -> None:
        self._points: dict[int, Point] = {}
        self._next_number = 1

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points.values())

    def add_breakpoint(
        self, address: int, space: AddressSpace | None = None, task: TaskRuns | None = None
    ) -> Breakpoint:
        """Set a breakpoint on the instruction at ``address``, in ``space`` or for ``task`` alone if there is one."""
        point = Breakpoint(self._next_number, address, space, task)
        self._add(point)
        return point

    def add_watchpoint(
        self,
        address: int,
        length: int,
        kind: WatchKind = WatchKind.WRITE,
        space: AddressSpace | None = None,
        task: TaskRuns | None = None,
    ) -> Watchpoint:
        """Watch ``length`` bytes at ``address``, in ``space`` or for ``task`` alone if there is one.

        :raises UsageError: the length is out of range.
        """
        check_watch_length(length)
        point = Watchpoint(self._next_number, address, length, kind, space, task=task)
        self._add(point)
        return point

    def add_physical(self, place: PhysicalPlace, task: TaskRuns | None = None) -> Watchpoint:
        """Watch physical memory for writes that change it, those of ``task`` alone if there is one."""
        point = replace(Watchpoint.on_physical(self._next_number, place), task=task)
        self._add(point)
        return point

    def delete(self, number: int | None = None) -> None:
        """Delete breakpoint or watchpoint ``number``, or all of them.

        :raises UsageError: there is none of that number.
        """
        if number is None:
            self._points.clear()
        elif self._points.pop(number, None) is None:
            raise UsageError(f"There is no breakpoint or watchpoint number {number}.")

    def _add(self, point: Point) -> None:
        self._points[point.number] = point
        self._next_number += 1
