"""How often instructions are executed, and when for the millionth time: what would take a million stops.

The accelerator's number of hits is exact where its machine stands at a fence, and in between the place of a hit is
known to within some instructions. So the hit that is asked for is come near to, counting; the last few are then counted
by the stub, which tells its exact position. Without the accelerator the stub counts all of them.

Under a condition the same is done where the accelerator can judge it, and only those are counted at which it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from rrdbg.engine.machines.progress import Stretch
from rrdbg.engine.queries.evaluate import Judge
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import LinkError
from rrdbg.links.tally import Judging
from rrdbg.model.hits.stop import Breakpoint, Hit
from rrdbg.model.timeline.position import Position

FEW = 200
"""Hits that the stub counts sooner than the accelerator has started."""


@dataclass(frozen=True, slots=True)
class Occurrences:
    """How many hits there are, or, where one was asked for, how many up to it; and that ``hit``, if there is one.

    ``accelerated`` tells that the accelerator has counted most of them. ``spaces`` are the roots of page tables that
    were in use at those that it has not.
    """

    count: int
    hit: Hit | None = None
    accelerated: bool = False
    spaces: frozenset[int | None] = field(default=frozenset(), compare=False)


async def count(
    replay: Replay, points: Sequence[Breakpoint], start: Position, end: Position, judge: Judge | None = None
) -> Occurrences:
    """How often ``points`` are hit from ``start`` on and before ``end``; with ``judge``, under its conditions."""
    few = await _scan(replay, points, None if _bound(points) else FEW + 1, start, end, judge)
    if few.hit is None:
        return few
    judging = await _judging(replay, points, judge)
    if judging or not judge:
        async with replay.still():
            counted = await _Counting(replay, points, start, end, judging).count()
        if counted is not None:
            return Occurrences(counted, accelerated=True)
    return await _scan(replay, points, None, start, end, judge)


async def nth(
    replay: Replay,
    points: Sequence[Breakpoint],
    number: int,
    start: Position,
    end: Position,
    judge: Judge | None = None,
) -> Occurrences:
    """The hit of ``points`` that is number ``number``, from 1 on, from ``start`` on and before ``end``.

    With ``judge`` only those under its conditions count. Its position is that of
    :meth:`~rrdbg.engine.replay.Replay.scan`, and may be too early by a phase likewise.
    """
    judging = await _judging(replay, points, judge)
    if number > FEW and not _bound(points) and (judging or not judge):
        async with replay.still():
            near = await _Counting(replay, points, start, end, judging).come_near(number)
        if near is not None:
            base, before = near
            found = await _scan(replay, points, number - before, base, end, judge)
            return Occurrences(before + found.count, found.hit, accelerated=True)
    return await _scan(replay, points, number, start, end, judge)


async def _judging(replay: Replay, points: Sequence[Breakpoint], judge: Judge | None) -> Judging | None:
    """What the accelerator needs to judge conditions; None if there are none, or it cannot."""
    if judge is None:
        return None
    conditions = {point.address: judge.condition(point) for point in points}
    layout = (await replay.machine()).register_file
    return await replay.accelerator.judging(conditions, layout)


async def _scan(
    replay: Replay,
    points: Sequence[Breakpoint],
    number: int | None,
    start: Position,
    end: Position,
    judge: Judge | None,
) -> Occurrences:
    """Count by the stub, up to the hit ``number`` or to the end."""
    counted = 0
    spaces: set[int | None] = set()
    async with aclosing(replay.scan(points, start, end, judge)) as hits:
        async for hit in hits:
            counted += 1
            spaces.add(hit.space)
            if counted == number:
                return Occurrences(counted, hit, spaces=frozenset(spaces))
    return Occurrences(counted, spaces=frozenset(spaces))


def _bound(points: Sequence[Breakpoint]) -> bool:
    """True if some count in one address space or task alone, which the accelerator does not tell from others."""
    return any(point.space or point.task for point in points)


class _Counting:
    """The accelerator's passes over one stretch; each answer is None where it cannot be used."""

    def __init__(
        self,
        replay: Replay,
        points: Sequence[Breakpoint],
        start: Position,
        end: Position,
        judging: Judging | None = None,
    ) -> None:
        self._replay = replay
        self._points = points
        self._start = start
        self._end = end
        self._judging = judging

    async def count(self) -> int | None:
        """How many hits there are."""
        survey = await self._survey(self._start)
        if survey is None:
            return None
        try:
            before = await self._hits_at(survey, self._start)
            return await self._hits_at(survey, self._end) - before
        except LinkError as error:
            self._replay.accelerator.give_up(error)
            return None
        finally:
            await survey.close()

    async def come_near(self, number: int) -> tuple[Position, int] | None:
        """A position at most a few hits before hit ``number``, or not far before the end; and the hits before it."""
        survey = await self._survey(self._start)
        if survey is None:
            return None
        try:
            base, before, place = await self._approach(survey, number)
        except LinkError as error:
            self._replay.accelerator.give_up(error)
            return None
        finally:
            await survey.close()
        if place <= base or number - before <= FEW:
            return base, before
        return await self._count_on(base, before, place, number)

    async def _approach(self, survey: Survey, number: int) -> tuple[Position, int, Position]:
        """The last position that is known, with the hits before it, and one shortly before the hit that is wanted."""
        timeline = self._replay.timeline
        at_start = await self._hits_at(survey, self._start)
        survey.want(number)
        base, before = self._start, 0
        snapshots = [Position(known.icount) for known in timeline.snapshots]
        for fence in (*(place for place in snapshots if self._start < place < self._end), self._end):
            hits = await self._hits_at(survey, fence) - at_start
            wanted = survey.tally(0).wanted
            if wanted is not None:
                near = timeline.deliveries.plain_at_or_before(survey.place(wanted).low - 1)
                return base, before, Position(near)
            base, before = fence, hits
        return base, before, base

    async def _count_on(self, base: Position, before: int, place: Position, number: int) -> tuple[Position, int]:
        """``place`` and the hits before it, counted from ``base`` on; or ``base`` again if that is not to be had."""
        survey = await self._survey(base)
        if survey is None:
            return base, before
        try:
            more = -await self._hits_at(survey, base)
            more += await self._hits_at(survey, place)
        except LinkError as error:
            self._replay.accelerator.give_up(error)
            return base, before
        finally:
            await survey.close()
        return (place, before + more) if before + more < number else (base, before)

    async def _survey(self, position: Position) -> Survey | None:
        timeline = self._replay.timeline
        landing = timeline.landing_before(position)
        return await self._replay.accelerator.survey(timeline, landing, self._points, self._judging)

    async def _hits_at(self, survey: Survey, position: Position) -> int:
        """Bring ``survey`` to ``position``; the hits that it has seen on its way so far."""
        here = survey.walker.position
        cost, report = self._replay.timeline.cost, self._replay.on_progress
        await survey.arrive(position, Stretch.alone(cost, here.icount, position.icount, report).at)
        return survey.tally(0).hits
