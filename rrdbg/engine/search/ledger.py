"""All that a plugin has seen of a stretch, with the exact positions, without a stop at any of them.

A plugin counts instructions, and where exactly something was it knows if it has counted as QEMU does. An instruction
that faults is begun twice, and QEMU's count has it once. From QEMU 11.1 on the plugin is told of exceptions; before, it
is put right where the guest's handlers of exceptions begin, since the log tells when the next one comes. Where those
are a machine looks at the beginning, and where the count was wrong.

At fences it is looked at whether the count is right. What was seen between two fences at which it was, with each
exception where it had to come, counts. All else is left to whoever makes stops. Before 11.1 one thing is not seen: code
that overwrites the very block it runs in is counted twice as well, and the next exception sets that right, too.
"""

from __future__ import annotations

import math
from asyncio import Task, create_task, wait
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.handlers import exception_handlers
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import LinkError
from rrdbg.links.tally import Judging, Place, Sighting
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

_FIRST_SECONDS = 0.25
"""Of replay between the first two fences; each part then is twice as long, since what is in one is told at its end."""

_MOST_SECONDS = 1.0
_MOST_STARTS = 16
"""Machines that are started anew, with more handlers or nearer fences, until the rest is left to others."""


@dataclass(frozen=True, slots=True)
class Page:
    """What was seen from ``start`` up to ``end``: all ``sightings``, or None where they are not all, or not right.

    Their positions ``survey`` tells. ``met`` is how many accesses and executions there were, counted or not.
    """

    start: Position
    end: Position
    sightings: Sequence[Sighting] | None = None
    survey: Survey | None = None
    met: int = 0


class Ledger:
    """Sees ``points``, with ``changes`` those writes to them that change something; ``judging`` says what to read.

    The ``points`` may be others from one page to the next: a machine that is started later looks for those.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        timeline: Timeline,
        points: Sequence[Place],
        judging: Judging,
        *,
        changes: bool = False,
    ) -> None:
        self._accelerator = accelerator
        self._timeline = timeline
        self.points = points
        self._judging = judging
        self._changes = changes
        self._handlers: frozenset[int] = frozenset()
        self._longest = math.inf

    async def pages(
        self, start: Position, end: Position, on_progress: ProgressCallback | None = None
    ) -> AsyncGenerator[Page, None]:
        """The stretch from ``start`` to ``end``, in order."""
        here = start
        if not self._timeline.deliveries.is_plain(start.icount):
            here = min(Position(self._timeline.deliveries.plain_after(start.icount)), end)
            yield Page(start, here)
        for _ in range(_MOST_STARTS):
            survey = await self._survey(here) if here < end else None
            if survey is None:
                break
            try:
                async with aclosing(self._from(survey, here, end, on_progress)) as pages:
                    async for page in pages:
                        here = page.end
                        yield page
            except LinkError as error:
                self._accelerator.give_up(error)
            finally:
                await survey.close()
        if here < end:
            yield Page(here, end)

    async def _survey(self, here: Position) -> Survey | None:
        if not self._accelerator.counts_exactly:
            return None
        return await self._accelerator.survey(
            self._timeline, self._timeline.landing_before(here), self.points, self._judging,
            changes=self._changes, handlers=self._handlers,
        )  # fmt: skip

    async def _from(
        self, survey: Survey, here: Position, end: Position, on_progress: ProgressCallback | None
    ) -> AsyncGenerator[Page, None]:
        """The pages of one machine, up to where another one is needed. It goes on while somebody reads a page."""
        await survey.arrive(here)
        right = self._is_right(survey)
        if right is None or (not right and await self._learn(survey)):
            return
        survey.realign()
        before, seconds = survey.tally(0), _FIRST_SECONDS
        page: Page | None = None
        going: Task[None] | None = None
        try:
            while here < end:
                fence = self._fence(here, end, seconds)
                going = create_task(survey.arrive(fence, on_progress))
                if page:
                    yield page
                    page = None
                await going
                after = survey.tally(0)
                count = after.hits - before.hits
                if count > after.kept:
                    # No more than one instruction can be at one place at a time, so that this ends.
                    self._longest = max((fence.icount - here.icount) // (2 * (count // after.kept)), after.kept // 4)
                    return
                right = self._is_right(survey)
                if right is None or (not right and await self._learn(survey)):
                    return
                if right:
                    page = Page(here, fence, survey.tally(count).latest, survey, after.met - before.met)
                else:
                    page = Page(here, fence)
                    survey.realign()
                here, before, seconds = fence, after, min(2 * seconds, _MOST_SECONDS)
        finally:
            if going:
                await _ended(going)
        if page:
            yield page

    def _fence(self, here: Position, end: Position, seconds: float) -> Position:
        """A plain position not much replay behind ``here``, or the ``end``."""
        ahead = self._timeline.cost.ahead(here.icount, seconds, end.icount)
        ahead = int(min(ahead, here.icount + self._longest))
        return min(Position(self._timeline.deliveries.plain_after(ahead)), end)

    def _is_right(self, survey: Survey) -> bool | None:
        """Whether the plugin counts as QEMU does; None if nobody can look."""
        try:
            return survey.counts_right()
        except LinkError:
            self._accelerator.counts_exactly = False
            return None

    async def _learn(self, survey: Survey) -> bool:
        """Whether there are handlers that were not known."""
        if survey.hears_exceptions:
            return False
        self._handlers |= survey.handlers | await exception_handlers(survey.walker.machine)
        return self._handlers > survey.handlers


async def _ended(going: Task[None]) -> None:
    """Wait until a machine moves no more, whatever has come of it."""
    going.cancel()
    await wait([going])
    if not going.cancelled():
        going.exception()
