"""From write to write the bytes at a place stay the same: where they do not, no instruction has changed them.

Watchpoints see instructions alone, and those by the address that is watched. A device writes by DMA, and the kernel by
another mapping. So what a write finds is compared with what the one before has left, and with what there is where a
search begins and ends. Where they differ, the step is looked for in which that changed: in some places on the way, and
in some between two of those. Where other memory has come to lie at the address meanwhile nothing is looked for: that is
no write.

A disk's data come into the guest's memory when the host has read them, at any instant between the request and its end,
which is an event of the log; the guest looks at them only then. So in another replay the step may be another one, and
what tells which request it was is the next event.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from rrdbg.engine.search.follower import Follower, Known
from rrdbg.engine.search.watch import unwritten
from rrdbg.errors import RspError
from rrdbg.links.address_space import space_in_use
from rrdbg.links.machine import Machine
from rrdbg.links.translation import physical_here, physical_in
from rrdbg.model.hits.physical_place import PAGE
from rrdbg.model.hits.stop import Hit, Point, ValueChange, WatchKind, Watchpoint
from rrdbg.model.timeline.position import START, Position

_STRIDE = 64
"""Instructions that are stepped through in the end; a jump costs as much as some hundred steps."""

_LOOKS = 32
"""Places that are looked at on the way; to start a machine costs as much as some hundred of them."""

_MOST = 16
"""Changes between two writes that are told of."""


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies at a place: the bytes, and where in physical memory its parts are."""

    data: bytes
    frames: tuple[int, ...]


async def lying(machine: Machine, point: Watchpoint) -> Lying | None:
    """What lies at the place of ``point`` where ``machine`` stands, in its address space; None if nothing does."""
    address, length = point.address, point.length
    if point.physical:
        parts = [(point.physical.address, point.physical.length)]
    else:
        parts = []
        while length:
            size = min(length, PAGE - address % PAGE)
            if point.space:
                physical = await physical_in(machine, point.space.root, address)
            else:
                physical = await physical_here(machine, address)
            if physical is None:
                return None
            parts.append((physical, size))
            address, length = address + size, length - size
    try:
        data = [await machine.read_physical(*part) for part in parts]
    except RspError:
        return None
    return Lying(b"".join(data), tuple(start for start, _ in parts))


def chained(points: Sequence[Point]) -> list[Watchpoint]:
    """Those of ``points`` whose bytes stay the same from hit to hit, as they do not where others' hits do not count."""
    return [
        point
        for point in points
        if isinstance(point, Watchpoint) and point.kind is WatchKind.WRITE and point.task is None
    ]


class Chain:
    """What lies at the place of ``point`` from write to write; ``log`` is the recording's."""

    def __init__(self, point: Watchpoint, follower: Follower, known: Known, log: Path) -> None:
        self.point = point
        self._follower = follower
        self._known = known
        self._log = log
        self.left: tuple[Position, bytes] | None = None
        """What the last write has left, and where."""
        self._unknown_since: Position | None = START

    async def begin(self, start: Position | None) -> None:
        """Nothing is known of what lies before ``start``; None if not before the first hit."""
        found = await self.at(start) if start else None
        self.left = (start, found.data) if start and found else None
        self._unknown_since = start

    async def before(self, hit: Hit) -> list[Hit]:
        """The changes between the write before and ``hit``, the next one, that are no writes."""
        left, self.left = self.left, (hit.position, hit.change.after) if hit.change else None
        if left is None:
            left = await self._known_since(self._unknown_since, hit.position)
        self._unknown_since = hit.position
        if left is None or hit.change is None or left[1] == hit.change.before:
            return []
        return await self._changes(left[0], hit.position, with_end=False)

    async def finish(self, end: Position) -> list[Hit]:
        """Those between the last write and ``end``."""
        right = await self.at(end)
        left = self.left or (await self._known_since(self._unknown_since, end) if right else None)
        if left is None or right is None or left[1] == right.data:
            return []
        return await self._changes(left[0], end, with_end=True)

    async def last(
        self, left: tuple[Position, bytes] | None, since: Position | None, end: Position, right: Lying | None
    ) -> Hit | None:
        """The last change before ``end`` that is no write.

        ``left`` is what the last write has left, and where; without one nothing is known from before ``since``.
        ``right`` is what lies there at the end, as far as that is known.
        """
        right = right or await self.at(end)
        if right is None:
            return None
        if left is None and since and (there := await self.at(since)):
            left = since, there.data
        known = left or await self._known_since(since, end)
        if known is None or known[1] == right.data:
            return None
        low, high = known[0], end
        was = await self.at(low)
        if was is None or was.frames != right.frames:
            return None
        while high.icount - low.icount > _STRIDE and (places := self._between(low, high)):
            near = places[0]
            for place, behind in pairwise([*places, high]):
                if (there := await self.at(place)) != right:
                    low, was, near = place, there, behind
            high = near
        async with aclosing(self._steps(low, high)) as steps:
            async for step in steps:
                if step.now == right and step.was != right:
                    return self._hit(step)
        return self._hit(_Step(low, high, was, right, *await self._here(high)))

    async def at(self, position: Position) -> Lying | None:
        """What lies there at ``position``."""
        return await lying((await self._follower.at(position)).machine, self.point)

    async def _known_since(self, low: Position | None, high: Position) -> tuple[Position, bytes] | None:
        """The first snapshot above ``low`` and below ``high`` at which something lies there, and what."""
        if low is None:
            return None
        places = [Position(known.icount) for known in self._known().snapshots if low.icount < known.icount]
        places = [place for place in places if place < high]
        found = None
        first, last = 0, len(places)
        while first < last:
            middle = (first + last) // 2
            if there := await self.at(places[middle]):
                found, last = (places[middle], there.data), middle
            else:
                first = middle + 1
        return found

    def _between(self, low: Position, high: Position) -> list[Position]:
        """Places between both, in order, as far from each other as they can be."""
        distance = high.icount - low.icount
        counts = (low.icount + distance * part // (_LOOKS + 1) for part in range(1, _LOOKS + 1))
        places = {Position(self._known().deliveries.plain_at_or_before(icount)) for icount in counts}
        return sorted(place for place in places if low < place < high)

    async def _changes(self, low: Position, high: Position, *, with_end: bool) -> list[Hit]:
        """The changes from ``low`` to ``high``; the step that leads there is left out unless it is ``with_end``."""
        edge = max(low, Position(self._known().deliveries.plain_at_or_before(max(high.icount - 1, 0))))
        left, right = await self.at(low), await self.at(high if with_end else edge)
        found: list[Hit] = []
        if left is None or right is None or left.frames != right.frames:
            return found
        for _ in range(_MOST):
            step = await self._first(low, left, edge, high, with_end=with_end)
            if step is None:
                break
            if hit := self._hit(step):
                found.append(hit)
            low, left = step.after, step.now
        return found

    async def _first(
        self, low: Position, left: Lying | None, edge: Position, high: Position, *, with_end: bool
    ) -> _Step | None:
        """The first step behind which not ``left`` lies there, which does at ``low``."""
        if edge > low and (there := await self.at(edge)) != left:
            near, far = low, edge
            while far.icount - near.icount > _STRIDE and (places := self._between(near, far)):
                for place in places:
                    if (between := await self.at(place)) != left:
                        far, there = place, between
                        break
                    near = place
            # What was there in one replay comes later in another, if a device has written it.
            otherwise = _Step(near, far, left, there, 0, None)
        else:
            near, far, otherwise = max(low, edge), high, None
        async with aclosing(self._steps(near, far)) as steps:
            async for step in steps:
                if otherwise is None and not with_end and step.after >= high:
                    return None
                if step.now != left:
                    return step
        if otherwise is None:
            return None
        pc, space = await self._here(far)
        return replace(otherwise, pc=pc, space=space)

    async def _steps(self, near: Position, far: Position) -> AsyncGenerator[_Step, None]:
        walker = await self._follower.at(near)
        now = await lying(walker.machine, self.point)
        while walker.position < far:
            before, was = walker.position, now
            await walker.step()
            machine = walker.machine
            now = await lying(machine, self.point)
            yield _Step(before, walker.position, was, now, await machine.pc(), await space_in_use(machine))

    async def _here(self, position: Position) -> tuple[int, int | None]:
        machine = (await self._follower.at(position)).machine
        return await machine.pc(), await space_in_use(machine)

    def _hit(self, step: _Step) -> Hit | None:
        """What is told of ``step``; nothing where other memory lies there behind it."""
        if step.was is None or step.now is None or step.was.frames != step.now.frames:
            return None
        change = ValueChange(step.was.data, step.now.data)
        cause = unwritten(self._log, self._known(), self.point, step.before, step.after)
        return Hit(step.after, step.pc, self.point, change, space=step.space, unwritten=cause)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step, or some: from where, to where, what lay there, and what does behind it; the pc and the root there."""

    before: Position
    after: Position
    was: Lying | None
    now: Lying | None
    pc: int
    space: int | None
