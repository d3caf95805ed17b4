"""Collect every breakpoint and watchpoint hit on a stretch of the timeline, in one forward pass.

This is the one primitive under all searches, forward and backward. A stretch is ``[here, end)`` for
breakpoints and ``(here, end]`` for watchpoints, whose hits are positions *after* the access; stretches that
abut so count every hit once.

What QEMU does that shapes this code:

* ``c`` on a breakpoint hits it again without progress; ``s`` steps over it.
* A breakpoint at the icount of the fence does not fire, so the pc there is compared by us.
* A watchpoint that fires in the very last instruction before the fence races with the fence's timer and may
  be lost, or reported by the next resume. For ``watch`` the value is compared there, which is what counts
  anyway; for ``rwatch`` and ``awatch`` that instruction is stepped again in a machine of its own.
* At the icount of an interrupt the interrupted instruction is not begun, so a breakpoint on it does not count;
  QEMU 7.2 stops there in some runs and not in others, and only the step after it tells. Such a hit is therefore
  yielded when the walker has left it, with ``exact`` false, since a free run cannot tell the phase either.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

from rrdbg.engine.walk import Step, Walker
from rrdbg.errors import RspError
from rrdbg.links.machine import Machine, ProgressCallback
from rrdbg.links.rsp import StopReply
from rrdbg.model.position import Position
from rrdbg.model.stop import Breakpoint, Hit, Point, ValueChange, WatchKind, Watchpoint

StartAt = Callable[[int], Awaitable[Walker]]
"""Give a fresh walker at a plain icount."""

Accept = Callable[[Machine, Breakpoint], Awaitable[bool]]
"""Tell whether a breakpoint counts at which the machine stands now: its condition."""


class Scan:
    """One pass of ``walker`` over a stretch, with ``points`` set; iterate :meth:`hits`."""

    def __init__(
        self,
        walker: Walker,
        points: Sequence[Point],
        end: Position,
        start_at: StartAt,
        accept: Accept | None = None,
    ) -> None:
        self._walker = walker
        self._accept = accept
        self._machine = walker.machine
        self._deliveries = walker.timeline.deliveries
        self._breakpoints = {point.address: point for point in points if isinstance(point, Breakpoint)}
        self._watchpoints = [point for point in points if isinstance(point, Watchpoint)]
        self._points = points
        self._end = end
        self._start_at = start_at
        self._values: dict[int, bytes | None] = {}

    async def hits(
        self, on_progress: ProgressCallback | None = None, *, include_start: bool = True
    ) -> AsyncGenerator[Hit, None]:
        """Yield the hits in order; afterwards the walker stands at the end.

        ``include_start`` tells whether a breakpoint on the very first instruction counts.

        The points are set when this is entered, and taken away when it is left, however.
        """
        for point in self._points:
            await self._machine.insert(point)
        try:
            for watchpoint in self._watchpoints:
                self._values[watchpoint.number] = await self._value(watchpoint)
            landing = self._walker.timeline.landing_before(self._end)
            ran = landing > self._walker.position.icount
            async for hit in self._run(landing, on_progress, include_start):
                yield hit
            async for hit in self._walk(include_start or ran):
                yield hit
        finally:
            if self._machine.usable:
                for point in self._points:
                    await self._machine.remove(point)

    async def _run(self, landing: int, on_progress: ProgressCallback | None, include_start: bool) -> AsyncIterator[Hit]:
        """Run freely to the last plain icount of the stretch."""
        if self._walker.position.icount >= landing:
            return
        for hit in await self._step_over_start(include_start):
            yield hit
        while self._walker.position.icount < landing:
            reply = await self._walker.run_to(landing, on_progress)
            if reply is None or self._walker.position.icount == landing:
                break
            if reply.watched:
                for hit in await self._watch_hits(reply, self._walker.position):
                    yield hit
                continue
            here, pc = self._walker.position, await self._machine.pc()
            counts, exact = await self._counts(pc), self._deliveries.is_plain(here.icount)
            if counts and exact:
                yield Hit(here, pc, self._breakpoints[pc])
            step = await self._walker.step()
            if counts and not exact and not self._walker.interrupted(step):
                yield Hit(here, pc, self._breakpoints[pc], exact=False)
            for hit in await self._watch_hits(step.reply, step.after):
                yield hit
        for hit in await self._at_fence(Position(landing)):
            yield hit

    async def _step_over_start(self, include_start: bool) -> list[Hit]:
        here, pc = self._walker.position, await self._machine.pc()
        if pc not in self._breakpoints:
            return []
        accepted = include_start and await self._counts(pc)
        step = await self._walker.step()
        counts = accepted and not self._walker.interrupted(step)
        found = [Hit(here, pc, self._breakpoints[pc])] if counts else []
        return found + await self._watch_hits(step.reply, step.after)

    async def _counts(self, pc: int) -> bool:
        """True if there is a breakpoint at ``pc``, where the machine stands, and its condition holds."""
        if pc not in self._breakpoints:
            return False
        return self._accept is None or await self._accept(self._machine, self._breakpoints[pc])

    async def _at_fence(self, position: Position) -> list[Hit]:
        """What the last instruction before the fence may have done unreported."""
        found = []
        for watchpoint in self._watchpoints:
            if watchpoint.kind is WatchKind.WRITE:
                found += await self._changed(watchpoint, position)
        accesses = [point for point in self._watchpoints if point.kind is not WatchKind.WRITE]
        if accesses:
            found += await self._confirm(accesses, position)
        return found

    async def _confirm(self, accesses: Sequence[Watchpoint], position: Position) -> list[Hit]:
        before = self._deliveries.plain_at_or_before(position.icount - 1)
        other = await self._start_at(before)
        try:
            for point in accesses:
                await other.machine.insert(point)
            step = await other.step()
            while step.after < position:
                step = await other.step()
            return await self._watch_hits(step.reply, position, only=accesses)
        finally:
            await other.machine.close()

    async def _walk(self, include_start: bool) -> AsyncIterator[Hit]:
        """Step over the ambiguous rest of the stretch, comparing pcs ourselves."""
        start = self._walker.position
        while self._walker.position < self._end:
            here = self._walker.position
            pc = await self._machine.pc()
            counts = (include_start or here > start) and await self._counts(pc)
            step = await self._step_past_stale()
            if counts and not self._walker.interrupted(step):
                yield Hit(here, pc, self._breakpoints[pc])
            for hit in await self._watch_hits(step.reply, step.after):
                yield hit

    async def _step_past_stale(self) -> Step:
        """Step, ignoring a stop that an earlier watchpoint still owed us."""
        before = self._walker.position
        step = await self._walker.step()
        if self._watchpoints and step.reply.watched and await self._machine.icount() != step.after.icount:
            self._walker.position = before
            step = await self._walker.step()
        return step

    async def _watch_hits(
        self, reply: StopReply, position: Position, only: Sequence[Watchpoint] | None = None
    ) -> list[Hit]:
        if reply.watched is None:
            return []
        _, address = reply.watched
        found = []
        for watchpoint in self._watchpoints if only is None else only:
            if watchpoint.kind is WatchKind.WRITE:
                found += await self._changed(watchpoint, position)
            elif watchpoint.address <= address < watchpoint.address + watchpoint.length:
                value = await self._value(watchpoint)
                change = _change(self._values[watchpoint.number], value)
                self._values[watchpoint.number] = value
                found.append(self._hit(position, await self._machine.pc(), watchpoint, change))
        return found

    async def _changed(self, watchpoint: Watchpoint, position: Position) -> list[Hit]:
        value = await self._value(watchpoint)
        before = self._values[watchpoint.number]
        self._values[watchpoint.number] = value
        if value == before:
            return []
        return [self._hit(position, await self._machine.pc(), watchpoint, _change(before, value))]

    def _hit(self, position: Position, pc: int, point: Point, change: ValueChange | None = None) -> Hit:
        return Hit(position, pc, point, change, exact=self._deliveries.is_plain(position.icount))

    async def _value(self, watchpoint: Watchpoint) -> bytes | None:
        """The watched bytes, or None while they are not mapped."""
        try:
            return await self._machine.read_memory(watchpoint.address, watchpoint.length)
        except RspError:
            return None


def _change(before: bytes | None, after: bytes | None) -> ValueChange | None:
    return None if before is None or after is None else ValueChange(before, after)
