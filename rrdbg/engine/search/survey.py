"""One pass of a machine with the plugin over a stretch: where points are hit, roughly, without a stop at any of them.

What the plugin counts as executed includes instructions that have faulted and were begun anew, which QEMU's icount does
not. How many such there may be the log tells: no more than it has exceptions. So a hit lies in a small interval of
icounts. Where QEMU tells the plugin of exceptions it counts as QEMU does, and only what QEMU begins anew without one is
left of that (11.1: 2,432 hits in a boot of Linux with 1,337 exceptions were all exactly where the stub stops). At a
fence nothing is uncertain: there the number of hits so far is exact, as far as the plugin sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.machines.ground import More
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.handlers import exception_handlers
from rrdbg.links.plugin import Plugin
from rrdbg.links.process_memory import read_number, write_number
from rrdbg.links.reading import Record
from rrdbg.links.tally import (
    KEPT,
    MOST_HANDLERS,
    Access,
    Judging,
    Place,
    Sighting,
    Tally,
    TaskLayout,
    View,
    create_tally,
    listen,
    read_accesses,
    read_tally,
    realign,
    set_handlers,
    tell_anew,
    want_hit,
)
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Watchpoint
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
        self,
        walker: Walker,
        points: Sequence[Place],
        judging: Judging | None,
        heard_from: int | None,
        *,
        tells_physical: bool,
        hears_exceptions: bool,
    ) -> None:
        self._hears = False
        self._heard_from = heard_from
        self._readings = [Record.of(judging.readings_at(point)) for point in points] if judging else []
        self.walker = walker
        self.tells_physical = tells_physical
        """True if it knows the physical address of any RAM that is written to."""
        self.handlers: frozenset[int] = frozenset()
        """Where the plugin knows that handlers of exceptions begin."""
        self.hears_exceptions = hears_exceptions
        """True if QEMU tells the plugin of exceptions."""
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
        handlers: Set[int] | None = None,
    ) -> Survey:
        """Start a machine on the snapshot at or before ``icount``; the plugin judges conditions by ``judging``.

        With ``changes`` all points are watched for writes, and only those that change something are hits. With
        ``tasks`` it looks for tasks from ``icount`` on, where :meth:`listen` is to be called. With ``handlers`` it
        counts as QEMU does as long as exceptions are handled there, or where they are now.

        :raises QemuLaunchError: QEMU could not load it, or not the plugin.
        """
        snapshot = timeline.nearest(icount)
        assert snapshot is not None, "a timeline has an initial snapshot"

        deliveries = timeline.deliveries
        listed = plugin.hears_exceptions or handlers is not None
        heard_from = snapshot.icount if listed else icount if tasks else None
        told = () if heard_from is None else deliveries.of_kind(Delivery.EXCEPTION, heard_from)
        exceptions = [place - snapshot.icount for place in told]

        late = 0 if listed else 1
        delivered = _counted(deliveries, snapshot.icount, late) if changes else None

        def more(directory: Path) -> list[str]:
            create_tally(directory / _FILE, points, judging, exceptions, delivered, tasks)
            return plugin.words(directory / _FILE)

        walker, _ = await launcher.start(snapshot, timeline, more=More(more, (plugin.path,)))
        survey = cls(
            walker, points, judging, heard_from, tells_physical=plugin.api > 1, hears_exceptions=plugin.hears_exceptions
        )
        if handlers is not None and not plugin.hears_exceptions:
            try:
                survey.handlers = frozenset(handlers | await exception_handlers(walker.machine))
                set_handlers(survey._file, sorted(survey.handlers)[:MOST_HANDLERS])
            except BaseException:
                await survey.close()
                raise
        return survey

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
        tally = read_tally(self._file, self._points, most, self._readings)
        self._hears = self._heard_from is not None and tally.exceptions == self._exceptions()
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
        self._count_anew(tally)

    def accesses(self) -> Iterator[Access]:
        """The accesses to memory since this was asked last: the latest, if there was no room for all.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        tally = self.tally(0)
        yield from read_accesses(self._file, tally.hits - self._told)
        self._told = tally.hits
        self._count_anew(tally)

    def _count_anew(self, tally: Tally) -> None:
        if tally.counter:
            here = self.walker.position.icount - self._origin
            write_number(self.walker.machine.process.pid, tally.counter, here + tally.ahead)

    def _exceptions(self) -> int:
        """How many of those that the plugin was told of have come up to where the machine stands."""
        assert self._heard_from is not None, "it was told of some"
        here = self.walker.position
        last = here.icount if here.phase else here.icount - 1
        return self.walker.timeline.deliveries.count(Delivery.EXCEPTION, self._heard_from, last)

    def listen(self, views: Sequence[View]) -> None:
        """From here on tasks are noted, which are seen through ``views``, and counted exactly if that can be.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        self._count_anew(self.tally(0))
        listen(self._file, views)

    def icount(self, executed: int) -> int:
        """The icount at which the plugin, if it is right, has counted ``executed``."""
        return self._origin + executed

    def counts_right(self) -> bool:
        """Whether the plugin has counted as many instructions as QEMU, and met no exception where none had to come.

        One that it has missed is one instruction too many, or makes the next one that it meets unexpected.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        tally = self.tally(0)
        pid = self.walker.machine.process.pid
        counted = read_number(pid, tally.counter) - tally.ahead if tally.counter else 0
        return not tally.unexpected and self.icount(counted) == self.walker.position.icount

    def realign(self) -> None:
        """Count as QEMU does from here on.

        :raises LinkError: QEMU's memory cannot be reached.
        """
        self._count_anew(self.tally(0))
        realign(self._file, self._exceptions())

    def position(self, sighting: Sighting) -> Position | None:
        """Where an execution, or behind a write that was judged, is if the plugin counts right; None if only nearly."""
        icount = self.icount(sighting.executed)
        deliveries = self.walker.timeline.deliveries
        if isinstance(sighting.point, Watchpoint):
            # What is delivered may have written, too, and an instruction that faults may have written a part.
            known = sighting.change and sighting.address
            return Position(icount) if known and not deliveries.any_between(icount - 1, icount) else None
        return Position(icount) if deliveries.is_plain(icount) else None

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
