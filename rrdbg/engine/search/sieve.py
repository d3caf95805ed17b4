"""Where breakpoints' conditions hold, judged inside QEMU, so that a false one costs no stop.

The plugin (:mod:`rrdbg.links.plugin`) runs the conditions' bytecode in one pass over a stretch, and knows of each true
one in which small interval of icounts it lies. These become windows, and a scan looks at them: there the gdbstub tells
where exactly the hits are. It must find as many as the plugin has counted; if it does not, the plugin is believed no
more, and the stub scans the whole stretch.

What the plugin cannot be asked is judged at stops as before: registers that QEMU brings up to date only where a block
of code ends (the pc, the flags), those of more than eight bytes, and whatever is no bytecode.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.access import StartAt
from rrdbg.engine.search.scan import Accept, Scan
from rrdbg.engine.search.survey import Survey
from rrdbg.engine.search.trail import Trail, judge_last
from rrdbg.errors import LinkError
from rrdbg.links.registers import RegisterFile
from rrdbg.links.tally import KEPT, Judging
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.condition import Condition, conditional
from rrdbg.model.hits.stop import Breakpoint, Hit, Point
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

FEW = 200
"""Stops after which a search asks the plugin: they take about as long as the start of its machine."""

_STOPS_OF_A_WINDOW = 10
"""A window costs as much as so many stops: its ends are run to, and breakpoints are set and taken away.

Where a condition held at a third of 1,500 hits in Linux, windows took 3 to 4 times as long as a stop at each.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch to be scanned, in which the plugin has counted so many ``hits``; None: it has not counted there.

    Or these are ``known``, and nothing is to be scanned. It may have been joined of ``parts``, or have one at its end.
    """

    start: Position
    end: Position
    hits: int | None
    parts: tuple[Window, ...] = ()
    known: tuple[Hit, ...] = ()


class Sieve:
    """Searches for hits of ``points`` that ``accept`` judges, on ``timeline``; make it with :meth:`of`."""

    takes_all = False
    """Whether it searches for hits that all count, too."""

    def __init__(
        self,
        accelerator: Accelerator,
        timeline: Timeline,
        start_at: StartAt,
        points: Sequence[Point],
        accept: Accept | None,
        conditions: dict[int, Condition],
        *,
        jumps: bool,
    ) -> None:
        self._accelerator = accelerator
        self._timeline = timeline
        self._start_at = start_at
        self._points = points
        self._accept = accept
        self._conditions = conditions
        self._jumps = jumps
        self._judging: Judging | None = None
        self._wrong = False

    @classmethod
    def of(
        cls,
        accelerator: Accelerator,
        timeline: Timeline,
        start_at: StartAt,
        points: Sequence[Point],
        accept: Accept | None,
        *,
        jumps: bool = True,
    ) -> Sieve | None:
        """One for such a search, or None if it is not of breakpoints with conditions alone.

        ``jumps`` tells that ``start_at`` takes the nearest snapshot, and so saves a way from one window to the next.
        """
        breakpoints = [point for point in points if isinstance(point, Breakpoint)]
        judge = conditional(accept)
        if accept is None or judge is None or len(breakpoints) < len(points) or accelerator.is_off:
            return None
        conditions = {point.address: judge.condition(point) for point in breakpoints}
        if not any(condition.alternatives for condition in conditions.values()) and not cls.takes_all:
            return None
        return cls(accelerator, timeline, start_at, breakpoints, accept, conditions, jumps=jumps)

    async def can_judge(self, layout: RegisterFile) -> bool:
        """Whether the plugin can be asked, of a guest whose registers are laid out so; to be asked before the rest."""
        self._judging = await self._accelerator.judging(self._conditions, layout)
        return self._judging is not None

    async def hits(
        self, start: Position, end: Position, on_progress: ProgressCallback | None
    ) -> AsyncGenerator[Hit, None]:
        """Every hit from ``start`` on and before ``end``, in order."""
        told: set[tuple[Position, int]] = set()
        walker: Walker | None = None
        try:
            async with aclosing(self._windows(start, end, on_progress)) as windows:
                async for window in windows:
                    found = list(window.known)
                    if not found:
                        walker = await self._at(walker, window.start)
                        found = await self._look(walker, window)
                    if self._wrong:
                        break
                    for hit in found:
                        if (hit.position, hit.point.number) not in told:
                            told.add((hit.position, hit.point.number))
                            yield hit
            if self._wrong:
                walker = await self._at(walker, start)
                async with aclosing(self._scan(walker, end).hits(on_progress)) as hits:
                    async for hit in hits:
                        if (hit.position, hit.point.number) not in told:
                            yield hit
        finally:
            if walker:
                await walker.machine.close()

    async def last(
        self, start: Position, end: Position, trail: Trail, on_progress: ProgressCallback | None
    ) -> tuple[Position, list[Hit]]:
        """The hits in the last part of a stretch that has any which belongs to its point's address space.

        Without any, all there are. Also from where on there are no others; ``trail`` judges those in question.
        """
        windows = [window async for window in self._windows(start, end, on_progress)]
        found: list[Hit] = []
        for window in (each for joined in reversed(windows) for each in _from_its_end(joined)):
            looked = await self._look_alone(window)
            last = await judge_last(trail, looked, lambda hit: hit.belongs)
            known = {(hit.position, hit.point.number) for hit in looked}
            found = looked + [hit for hit in found if (hit.position, hit.point.number) not in known]
            if self._wrong:
                return start, await self._look_alone(Window(start, end, None))
            if last:
                return window.start, found
        return start, found

    async def _windows(
        self, start: Position, end: Position, on_progress: ProgressCallback | None
    ) -> AsyncGenerator[Window, None]:
        """What is to be scanned from ``start`` to ``end``, in order; the whole rest where the plugin is lost."""
        timeline = self._timeline
        here = start
        landing = timeline.landing_before(start)
        survey = await self._accelerator.survey(timeline, landing, self._points, self._judging)
        if survey is None:
            yield Window(start, end, None)
            return
        try:
            await survey.arrive(start)
            before = survey.tally(0)
            snapshots = (Position(snapshot.icount) for snapshot in timeline.snapshots)
            for fence in (*(place for place in snapshots if start < place < end), end):
                await survey.arrive(fence, on_progress)
                after = survey.tally(0)
                windows = self._around(survey, after.hits - before.hits, here, fence)
                if len(windows) * _STOPS_OF_A_WINDOW > after.met - before.met:
                    windows = _joined(windows)
                for window in windows:
                    yield window
                here, before = fence, after
        except LinkError as error:
            self._accelerator.give_up(error)
            yield Window(here, end, None)
        finally:
            await survey.close()

    def _around(self, survey: Survey, count: int, low: Position, high: Position) -> list[Window]:
        """Windows around the latest ``count`` hits, which all lie between two fences."""
        plain = self._timeline.deliveries
        windows: list[Window] = []
        for sighting in survey.tally(count if count <= KEPT else 1).latest:
            place = survey.place(sighting.executed)
            start = max(low, Position(plain.plain_at_or_before(place.low)))
            end = min(high, Position(plain.plain_after(place.high)))
            if windows and start < windows[-1].end:
                before = windows.pop()
                end = max(before.end, end)
                # Where a condition holds all the time all windows are one: who wants the last hit begins at its end.
                tail = Window(start, end, None)
                windows.append(Window(before.start, end, (before.hits or 0) + 1, parts=(tail,)))
            else:
                windows.append(Window(start, end, 1))
        if count > KEPT:
            return [Window(low, high, count, parts=(Window(windows[-1].start, high, None),))]
        return windows

    async def _look_alone(self, window: Window) -> list[Hit]:
        if window.known:
            return list(window.known)
        walker = await self._at(None, window.start)
        try:
            return await self._look(walker, window)
        finally:
            await walker.machine.close()

    async def _look(self, walker: Walker, window: Window) -> list[Hit]:
        """The hits in ``window``, at whose start ``walker`` stands; whether the plugin was right is noted."""
        async with aclosing(self._scan(walker, window.end).hits()) as hits:
            found = [hit async for hit in hits]
        if window.hits not in (None, len(found)):
            self._doubt(
                f"it has counted {window.hits} hits from {window.start} to {window.end}, and there are {len(found)}"
            )
        return found

    def _doubt(self, why: str) -> None:
        """Believe the plugin no more."""
        self._wrong = True
        self._accelerator.give_up(LinkError(why))

    def _scan(self, walker: Walker, end: Position) -> Scan:
        return Scan(walker, self._points, end, self._start_at, self._accept)

    async def _at(self, walker: Walker | None, position: Position) -> Walker:
        """A walker at ``position``: ``walker``, or a new one where that is nearer."""
        landing = self._timeline.landing_before(position)
        snapshot = self._timeline.nearest(landing) if self._jumps else None
        behind = walker and (not walker.machine.usable or walker.position > position)
        if walker and (behind or (snapshot and snapshot.icount > walker.position.icount)):
            await walker.machine.close()
            walker = None
        walker = walker or await self._start_at(landing)
        try:
            await walker.arrive(position)
        except BaseException:
            await walker.machine.close()
            raise
        return walker


def _from_its_end(window: Window) -> Iterator[Window]:
    """``window``, but first the last of its parts, which alone has nearly always what is looked for."""
    for part in window.parts[-1:]:
        yield from _from_its_end(part)
    yield window


def _joined(windows: list[Window]) -> list[Window]:
    """One window in their place."""
    if not windows:
        return []
    hits = None if any(window.hits is None for window in windows) else sum(window.hits or 0 for window in windows)
    return [Window(windows[0].start, windows[-1].end, hits, parts=tuple(windows))]
