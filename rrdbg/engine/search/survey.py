"""One pass of a machine with the plugin over a stretch: where points are hit, roughly, without a stop at any of them.

What the plugin counts as executed includes instructions that have faulted and were begun anew, which QEMU's icount does
not. How many such there may be the log tells: no more than it has exceptions. So a hit lies in a small interval of
icounts. Where QEMU tells the plugin of exceptions it counts as QEMU does, and only what QEMU begins anew without one is
left of that (11.1: 2,432 hits in a boot of Linux with 1,337 exceptions were all exactly where the stub stops). At a
fence nothing is uncertain: there the number of hits so far is exact, as far as the plugin sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.machines.ground import More
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.walk import Walker
from rrdbg.links.plugin import Plugin
from rrdbg.links.process_memory import read_number, write_number
from rrdbg.links.tally import (
    KEPT,
    Access,
    Judging,
    Place,
    Tally,
    TaskLayout,
    View,
    create_tally,
    listen,
    read_accesses,
    read_tally,
    tell_anew,
    want_hit,
)
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

_SLACK = 16
"""Instructions that may have been counted twice without an exception: those that change their own code."""

_FILE = "tally"


@dataclass(frozen=True, slots=True)
class Interval:
    """A hit is somewhere from icount ``low`` to ``high``, both included."""

    low: int
    high: int


class Survey:
    """A machine that tallies ``points`` on its way; make it with :meth:`start`, end it with :meth:`close`."""

    def __init__(
        self, walker: Walker, points: Sequence[Place], heard_from: int | None, *, tells_physical: bool
    ) -> None:
        self._hears = False
        self._heard_from = heard_from
        self.walker = walker
        self.tells_physical = tells_physical
        """True if it knows the physical address of any RAM that is written to."""
        self._points = points
        self._origin = walker.position.icount
        self._told = 0

    @classmethod
    async def start(
        cls,
        launcher: Launcher,
        plugin: Plugin,
        timeline: Timeline,
        icount: int,
        points: Sequence[Place],
        judging: Judging | None = None,
        *,
        changes: bool = False,
        tasks: TaskLayout | None = None,
    ) -> Survey:
        """Start a machine on the snapshot at or before ``icount``; the plugin judges conditions by ``judging``.

        With ``changes`` all points are watched for writes, and only those that change something are hits. With
        ``tasks`` it looks for tasks from ``icount`` on, where :meth:`listen` is to be called.

        :raises QemuLaunchError: QEMU could not load it, or not the plugin.
        """
        snapshot = timeline.nearest(icount)
        assert snapshot is not None, "a timeline has an initial snapshot"

        deliveries = timeline.deliveries
        heard_from = snapshot.icount if plugin.hears_exceptions else icount if tasks else None
        told = () if heard_from is None else deliveries.of_kind(Delivery.EXCEPTION, heard_from)
        exceptions = [place - snapshot.icount for place in told]

        late = 0 if plugin.hears_exceptions else 1
        delivered = _counted(deliveries, snapshot.icount, late) if changes else None

        def more(directory: Path) -> list[str]:
            create_tally(directory / _FILE, points, judging, exceptions, delivered, tasks)
            return plugin.words(directory / _FILE)

        walker, _ = await launcher.start(snapshot, timeline, more=More(more, (plugin.path,)))
        return cls(walker, points, heard_from, tells_physical=plugin.api > 1)

    async def close(self) -> None:
        """End the machine."""
        await self.walker.machine.close()

    async def arrive(self, position: Position, on_progress: ProgressCallback | None = None) -> None:
        """Go forward to ``position``.

        :raises Divergence: the machine does not follow the log.
        """
        await self.walker.arrive(position, on_progress)

    def tally(self, most: int = KEPT) -> Tally:
        """What was found up to where the machine stands, with at most the ``most`` latest hits."""
        tally = read_tally(self._file, self._points, most)
        here, first = self.walker.position, self._heard_from
        last = here.icount if here.phase else here.icount - 1
        deliveries = self.walker.timeline.deliveries
        self._hears = first is not None and tally.exceptions == deliveries.count(Delivery.EXCEPTION, first, last)
        return tally

    def want(self, number: int) -> None:
        """Ask for the place of the hit that is number ``number`` from here on, the next one being number 1."""
        want_hit(self._file, self.tally(0).hits + number)

    def tell_anew(self) -> None:
        """From here on each block of code is told of again when it is executed first."""
        tell_anew(self._file)

    def begin(self) -> None:
        """From here on :meth:`accesses` tells, and the plugin counts from here as QEMU does.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        tally = self.tally(0)
        self._told = tally.hits
        self._count_anew(tally.counter)

    def accesses(self) -> Iterator[Access]:
        """The accesses to memory since this was asked last: the latest, if there was no room for all.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        tally = self.tally(0)
        yield from read_accesses(self._file, tally.hits - self._told)
        self._told = tally.hits
        self._count_anew(tally.counter)

    def _count_anew(self, counter: int) -> None:
        if counter:
            write_number(self.walker.machine.process.pid, counter, self.walker.position.icount - self._origin)

    def listen(self, views: Sequence[View]) -> None:
        """From here on tasks are noted, which are seen through ``views``, and counted exactly if that can be.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        self._count_anew(self.tally(0).counter)
        listen(self._file, views)

    def icount(self, executed: int) -> int:
        """The icount at which the plugin, if it is right, has counted ``executed``."""
        return self._origin + executed

    def counts_right(self) -> bool:
        """Whether the plugin has counted as many instructions as QEMU.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        counter = self.tally(0).counter
        counted = read_number(self.walker.machine.process.pid, counter) if counter else 0
        return self.icount(counted) == self.walker.position.icount

    @property
    def is_exact(self) -> bool:
        """True if the plugin counted as QEMU does up to the last :meth:`tally`."""
        return self._hears

    @property
    def _file(self) -> Path:
        return self.walker.machine.directory / _FILE

    def place(self, executed: int) -> Interval:
        """Where a hit of the last :meth:`tally` lies before which the plugin has counted ``executed`` instructions."""
        high = self._origin + executed
        deliveries = self.walker.timeline.deliveries
        faults = 0 if self._hears else deliveries.count(Delivery.EXCEPTION, self._origin, high)
        return Interval(max(high - faults - _SLACK, self._origin), high)


def _counted(deliveries: Deliveries, origin: int, late: int) -> list[tuple[int, int]]:
    """Between which counts of the plugin's each delivery comes, after ``origin``, at which it begins to count.

    Each exception may have made it ``late`` instructions too high.
    """
    counted, faults = [], 0
    for icount, kind in deliveries.after(origin):
        faults += late * (kind is Delivery.EXCEPTION)
        counted.append((icount - origin, icount - origin + faults + _SLACK))
    return counted
