"""Collect every breakpoint and watchpoint hit on a stretch of the timeline, in one forward pass.

This is the one primitive under all searches, forward and backward. A stretch is ``[here, end)`` for
breakpoints and ``(here, end]`` for watchpoints, whose hits are positions *after* the access; stretches that
abut so count every hit once.

What QEMU does that shapes this code:

* ``c`` on a breakpoint hits it again without progress; ``s`` steps over it.
* A breakpoint at the icount of the fence does not fire, so the pc there is compared by us.
* A watchpoint that fires in the very last instruction before the fence races with the fence's timer and may
  be lost. That instruction is stepped again in a machine of its own, for ``watch`` only where the value is another one
  than was seen last. (Where there is no other machine: :mod:`rrdbg.engine.search.single`.)
* It stops behind the instruction, where the value before can no longer be read: such a hit is not judged yet, which
  :mod:`rrdbg.engine.search.trail` does.
* A watchpoint that fires while an interrupt or exception is delivered breaks the replay, see
  :mod:`rrdbg.engine.search.access`. That is rare, so a scan is tried without regard to it; whoever runs it scans again,
  *carefully*, when the machine broke: then each delivery is stepped over with no watchpoint set.
* Where an instruction touches several watchpoints QEMU reports one, of the last inserted first. So those that
  count whatever the value are inserted last.
* At the icount of an interrupt the interrupted instruction is not begun, so a breakpoint on it does not count;
  QEMU 7.2 stops there in some runs and not in others, and only the step after it tells. Such a hit is therefore
  yielded when the walker has left it, with ``exact`` false, since a free run cannot tell the phase either.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from rrdbg.engine.machines.walk import Step, Walker
from rrdbg.engine.search.access import LOST_BY_DELIVERY, StartAt, accesses
from rrdbg.engine.search.watch import changes, hit_of, watched_bytes
from rrdbg.errors import Divergence, QemuDied
from rrdbg.links.address_space import space_in_use
from rrdbg.links.machine import Machine
from rrdbg.links.rsp import StopReply
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Breakpoint, Hit, NotedHit, Point, ValueChange, WatchKind, Watchpoint, value_change
from rrdbg.model.timeline.position import Position

HASTY_SECONDS = 2.0
"""How long a guest with watchpoints set may stand still before it is taken for broken, and scanned again."""

Accept = Callable[[Machine, Breakpoint], Awaitable[object]]
"""Tell whether a breakpoint counts at which the machine stands now: its condition.

False if it does not, and True if it does; or anything else, which is then the note of its hit.
"""


GiveUp = Callable[[int, int], bool]
"""Tell whether to end a scan that has made so many stops and has so many instructions left."""


BROKEN = (Divergence, QemuDied)
"""What a watchpoint does to a machine that fires during a delivery: scan again, carefully."""


def may_break(points: Sequence[Point]) -> bool:
    """True if a scan with ``points`` may fail with one of :data:`BROKEN` unless it is careful."""
    return any(isinstance(point, Watchpoint) for point in points)


class Scan:
    """One pass of ``walker`` over a stretch, with ``points`` set; iterate :meth:`hits`."""

    def __init__(
        self,
        walker: Walker,
        points: Sequence[Point],
        end: Position,
        start_at: StartAt,
        accept: Accept | None = None,
        *,
        careful: bool = False,
        give_up: GiveUp = lambda stops, left: False,
    ) -> None:
        self._walker = walker
        self._careful = careful
        self._accept = accept
        self._deliveries = walker.timeline.deliveries
        self._breakpoints = {point.address: point for point in points if isinstance(point, Breakpoint)}
        watchpoints = [point for point in points if isinstance(point, Watchpoint)]
        self._watchpoints = sorted(watchpoints, key=lambda point: point.kind is not WatchKind.WRITE)
        self._accesses = [point for point in self._watchpoints if point.kind is not WatchKind.WRITE]
        self._writes = [point for point in self._watchpoints if point.kind is WatchKind.WRITE]
        self._end = end
        self._start_at = start_at
        self._give_up = give_up
        self._values: dict[tuple[int, int | None], bytes | None] = {}
        self._fence_stop: StopReply | None = None
        self.stops = 0
        """How often the guest has stopped for a point, whether that counted as a hit or not."""

    @property
    def _machine(self) -> Machine:
        return self._walker.machine

    async def hits(
        self, on_progress: ProgressCallback | None = None, *, include_start: bool = True
    ) -> AsyncGenerator[Hit, None]:
        """Yield the hits in order; afterwards the walker stands at the end, or where the scan gave up.

        ``include_start`` tells whether a breakpoint on the very first instruction counts.

        The points are set when this is entered, and taken away when it is left, however.
        """
        for point in self._breakpoints.values():
            await self._machine.insert(point)
        try:
            for watchpoint in self._watchpoints:
                self._see(watchpoint, await self._space(), await watched_bytes(self._machine, watchpoint))
            for landing, end in self._stretches():
                if landing > self._walker.position.icount:
                    async with self._watching():
                        async for hit in self._run(landing, on_progress, include_start):
                            yield hit
                    if self._walker.position.icount < landing:
                        return
                    for hit in await self._at_fence(Position(landing)):
                        yield hit
                    include_start = True
                for hit in await self._walk(end, include_start):
                    yield hit
                include_start = True
        finally:
            if self._machine.usable:
                for point in self._breakpoints.values():
                    await self._machine.remove(point)

    def _stretches(self) -> Iterator[tuple[int, Position]]:
        """Where to run to freely, and to step on to from there."""
        timeline = self._walker.timeline
        landing = timeline.landing_before(self._end)
        if self._careful and self._watchpoints:
            here = self._walker.position.icount
            for icount in self._deliveries.between(here, landing):
                after = self._deliveries.plain_after(icount)
                if here <= icount and after <= landing:
                    yield self._deliveries.plain_at_or_before(icount - 1), Position(after)
                    here = after
        yield landing, self._end

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """Have the watchpoints set, those of accesses last."""
        patience = self._machine.patience
        for point in self._watchpoints:
            await self._machine.insert(point)
        if self._watchpoints and not self._careful:
            self._machine.patience = min(HASTY_SECONDS, patience)
        try:
            yield
        finally:
            self._machine.patience = patience
            if self._machine.usable:
                for point in self._watchpoints:
                    await self._machine.remove(point)

    async def _run(self, landing: int, on_progress: ProgressCallback | None, include_start: bool) -> AsyncIterator[Hit]:
        """Run freely to the last plain icount of the stretch."""
        self._fence_stop = None
        for hit in await self._step_over_start(include_start):
            yield hit
        while (here := self._walker.position).icount < landing:
            if self._give_up(self.stops, self._end.icount - here.icount):
                return
            reply = await self._walker.run_to(landing, on_progress)
            if reply is None or self._walker.position.icount == landing:
                self._fence_stop = reply
                break
            self.stops += 1
            if self._watchpoints:
                # Not each stop that a watchpoint makes says so.
                self._check_delivery()
            if reply.watched:
                for hit in await self._watch_hits(reply, self._walker.position):
                    yield hit
                continue
            here, pc = self._walker.position, await self._machine.pc()
            fired, exact = await self._breakpoint_hit(here, pc), self._deliveries.is_plain(here.icount)
            if fired and exact:
                yield fired
            step = await self._walker.step()
            if fired and not exact and not self._walker.interrupted(step):
                yield replace(fired, exact=False)
            for hit in await self._watch_hits(step.reply, step.after):
                yield hit

    def _check_delivery(self) -> None:
        """Look if the watchpoint that has stopped us may have broken a delivery off, before anything is made of it.

        :raises Divergence: it may. Where the icount falls back to is then no other sign, if the run began before that.
        """
        here = self._walker.position.icount
        if not self._careful and not self._deliveries.is_plain(here + LOST_BY_DELIVERY):
            raise Divergence(
                f"A watchpoint has stopped the replay at {here:,}, where it may have broken off what is delivered at "
                f"{here + LOST_BY_DELIVERY:,}."
            )

    async def _step_over_start(self, include_start: bool) -> list[Hit]:
        here, pc = self._walker.position, await self._machine.pc()
        if pc not in self._breakpoints:
            return []
        hit = await self._breakpoint_hit(here, pc) if include_start else None
        step = await self._walker.step()
        found = [hit] if hit and not self._walker.interrupted(step) else []
        return found + await self._watch_hits(step.reply, step.after)

    async def _breakpoint_hit(self, here: Position, pc: int) -> Hit | None:
        """The hit of the breakpoint at ``pc``, where the machine stands, if there is one and its condition holds."""
        point = self._breakpoints.get(pc)
        if point is None:
            return None
        note = True if self._accept is None else await self._accept(self._machine, point)
        space = await self._space()
        if isinstance(note, bool):
            return Hit(here, pc, point, space=space) if note else None
        return NotedHit(here, pc, point, space=space, note=note)

    async def _at_fence(self, position: Position) -> list[Hit]:
        """What the last instruction before the fence may have done unreported."""
        found = []
        for point in self._watchpoints:
            if point.kind is not WatchKind.WRITE or await self._may_have_changed(point):
                found += await self._accessed_at_fence(point, position)
        return found

    async def _may_have_changed(self, point: Watchpoint) -> bool:
        """True if the bytes are others than were seen last in this address space, or the first ones seen there."""
        space, value = await self._space(), await watched_bytes(self._machine, point)
        before = self._values.get((point.number, space), None)
        self._see(point, space, value)
        return value is not None and value != before

    async def _accessed_at_fence(self, point: Watchpoint, position: Position) -> list[Hit]:
        """The hit of ``point`` by the last instruction before the fence, if there is one: by another machine."""
        start = Position(self._walker.timeline.landing_before(Position(position.icount - 1)))
        hits = await accesses(self._start_at, self._walker.timeline, point, start, position)
        return [hit for hit in hits if hit.position == position and _counts(point, hit.change)]

    async def _walk(self, end: Position, include_start: bool) -> list[Hit]:
        """Step over the ambiguous rest of a stretch with no watchpoint set, comparing pcs and values ourselves."""
        start = self._walker.position
        found: list[Hit] = []
        changed: set[Watchpoint] = set()
        while self._walker.position < end:
            here = self._walker.position
            pc = await self._machine.pc()
            hit = await self._breakpoint_hit(here, pc) if include_start or here > start else None
            before = {point: await watched_bytes(self._machine, point) for point in self._writes}
            step, accessed = await self._step()
            found += accessed
            if hit and not self._walker.interrupted(step):
                found.append(hit)
            changed |= {point for point in self._writes if changes(await hit_of(self._walker, point, before[point]))}
        if start < end:
            found += await self._walked(start, end, changed)
        # At one position the watchpoint comes first, since the step before it made the access.
        return sorted(found, key=lambda hit: (hit.position, isinstance(hit.point, Breakpoint)))

    async def _step(self) -> tuple[Step, Sequence[Hit]]:
        """Step once, and tell what is known at once of accesses; :meth:`_walked` finds out the rest."""
        return await self._walker.step(), ()

    async def _walked(self, start: Position, end: Position, changed: set[Watchpoint]) -> list[Hit]:
        """The accesses in the steps from ``start`` to ``end``, where the walker stands.

        Writes need only be looked for of points whose bytes have ``changed`` there.
        """
        found: list[Hit] = []
        for point in self._watchpoints:
            self._see(point, await self._space(), await watched_bytes(self._machine, point))
            if point.kind is not WatchKind.WRITE or point in changed:
                hits = await accesses(self._start_at, self._walker.timeline, point, start, end)
                found += [hit for hit in hits if _counts(point, hit.change)]
        return found

    async def _watch_hits(self, reply: StopReply, position: Position) -> list[Hit]:
        """The hits of the access that has led to ``position``, if there was one."""
        if reply.watched is None:
            return []
        space, pc = await self._space(), await self._machine.pc()
        found = []
        for point in self._watchpoints:
            value, last = await watched_bytes(self._machine, point), self._values.get((point.number, space), None)
            reported = reply.watched == (point.kind, point.address)
            # QEMU reports one of those that an instruction touches.
            if reported or (point.kind is WatchKind.WRITE and value != last):
                self._see(point, space, value)
                if value is not None or point.kind is not WatchKind.WRITE:
                    after = value_change(b"", value)
                    found.append(Hit(position, pc, point, after, space=space, judged=False))
        return found

    async def _space(self) -> int | None:
        return await space_in_use(self._machine)

    def _see(self, point: Watchpoint, space: int | None, value: bytes | None) -> None:
        """Note what the watched bytes are now in an address space."""
        self._values[point.number, space] = value


def _counts(point: Watchpoint, change: ValueChange | None) -> bool:
    """Whether an access that has made ``change`` is a hit: of a write only if that is one."""
    return point.kind is not WatchKind.WRITE or (change is not None and change.before != change.after)
