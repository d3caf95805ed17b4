"""The accelerator: passes over a stretch that find very many hits without stopping at any.

It needs a plugin in QEMU, which may be had or not; rrdbg does everything without it, only slower where there are
thousands of hits. So nothing here is an error: what cannot be done is None, and why is kept to be told.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from itertools import chain

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import LinkError, PluginError
from rrdbg.links.plugin import Plugin, find_plugin
from rrdbg.links.reading import Reading
from rrdbg.links.registers import RegisterFile
from rrdbg.links.tally import Judging, Place, TaskLayout
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.accelerator import AcceleratorInfo
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Point
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

NearLast = Callable[[Timeline, Sequence[Point], int, Position, ProgressCallback], Awaitable[int | None]]
"""What :meth:`Accelerator.near_last` does."""

SETTING = "RRDBG_ACCELERATOR"
"""The environment variable that turns the accelerator off if it is ``off``."""

_LAST = 8
"""Of so many last hits the first is gone to: some may not count, such as a write of the same value."""


_NO_READINGS: Mapping[int, Sequence[Reading]] = {}


class Accelerator:
    """Surveys for one recording; without a ``launcher`` there are none, for the reason ``why_not``."""

    def __init__(self, launcher: Launcher | None, why_not: str = "") -> None:
        self._launcher = launcher
        self._why_not = why_not
        self._plugin: Plugin | None = None
        self._passes = 0
        self.counts_exactly = True
        """False if it is known that nobody can look how much the plugin has counted."""

    @classmethod
    def of(cls, launcher: Launcher) -> Accelerator:
        """The accelerator for the machines of ``launcher``, unless the user does not want it."""
        if os.environ.get(SETTING, "").lower() == "off":
            return cls(None, f"it is turned off by {SETTING}=off")
        return cls(launcher)

    async def info(self) -> AcceleratorInfo:
        """Whether it can be used, and why; the plugin is built if it has not been needed so far."""
        plugin = await self._ready()
        if plugin is None:
            return AcceleratorInfo(False, f"The accelerator is not used: {self._why_not.rstrip('.')}.", self._passes)
        judges = "which judges conditions, too" if plugin.judges else "which cannot judge conditions"
        text = (
            f"The accelerator is used where it is quicker: {plugin.path}, for QEMU's plugin interface {plugin.api}, "
            f"{judges}."
        )
        return AcceleratorInfo(True, text, self._passes)

    @property
    def is_off(self) -> bool:
        """True if it is known that there are no surveys."""
        return self._launcher is None

    @property
    def may_judge(self) -> bool:
        """False if it is known that the plugin cannot judge anything."""
        return self._launcher is not None and (self._plugin is None or self._plugin.judges)

    async def judging(
        self,
        conditions: Mapping[int, Condition],
        layout: RegisterFile,
        readings: Mapping[int, Sequence[Reading]] = _NO_READINGS,
        common: Sequence[Reading] = (),
    ) -> Judging | None:
        """What a survey needs to judge ``conditions``, by address, of a guest with this ``layout`` of registers.

        It then also reads ``readings`` at hits, by address, and ``common`` ones at all.

        None if that cannot be in QEMU: this one cannot read registers and memory there, or they need such registers as
        it brings up to date only where a block of code ends (the pc, the flags), or long ones.
        """
        read = [reading.expression.registers for reading in (*common, *chain.from_iterable(readings.values()))]
        wanted = frozenset[int]().union(*(condition.registers for condition in conditions.values()), *read)
        known = {number: name for number in wanted if (name := layout.settled(number))}
        plugin = await self._ready() if len(known) == len(wanted) else None
        if plugin is None or not plugin.judges:
            return None
        return Judging(conditions, known, layout.byte_order, readings, common)

    async def survey(
        self,
        timeline: Timeline,
        icount: int,
        points: Sequence[Place],
        judging: Judging | None = None,
        *,
        changes: bool = False,
        tasks: TaskLayout | None = None,
        handlers: Set[int] | None = None,
    ) -> Survey | None:
        """A machine at or before ``icount`` that tallies ``points`` from there on, which the caller ends; or None.

        With ``judging`` only hits under its conditions count, with ``changes`` only writes that change something.
        ``tasks`` are for places of tasks. With ``handlers`` it counts as QEMU does, see :meth:`Survey.start`.
        """
        plugin = await self._ready()
        if plugin is None or self._launcher is None or ((judging or changes) and not plugin.judges):
            return None
        try:
            survey = await Survey.start(
                self._launcher, plugin, timeline, icount, points, judging, changes=changes, tasks=tasks,
                handlers=handlers,
            )  # fmt: skip
        except LinkError as error:
            self.give_up(error)
            return None
        self._passes += 1
        return survey

    def give_up(self, error: LinkError) -> None:
        """Use the plugin no more in this session, since it has led to ``error``."""
        self._plugin, self._launcher, self._why_not = None, None, f"it has failed: {error}"

    async def near_last(
        self, timeline: Timeline, points: Sequence[Point], low: int, end: Position, on_progress: ProgressCallback
    ) -> int | None:
        """A plain icount above ``low`` that lies a little before the last hits of ``points`` before ``end``, or None.

        Whether they are hits the caller must find out.
        """
        survey = await self.survey(timeline, low, points)
        if survey is None:
            return None
        try:
            await survey.arrive(Position(timeline.landing_before(end)), on_progress)
            latest = survey.tally(_LAST).latest
        except LinkError as error:
            self.give_up(error)
            return None
        finally:
            await survey.close()
        plain = timeline.deliveries.plain_at_or_before
        places = [plain(survey.place(sighting.executed).low - 1) for sighting in latest]
        return next((place for place in places if place > low), None)

    async def _ready(self) -> Plugin | None:
        if self._plugin is None and self._launcher is not None:
            try:
                self._plugin = await find_plugin(self._launcher.qemu)
            except PluginError as error:
                self._launcher, self._why_not = None, str(error)
        return self._plugin
