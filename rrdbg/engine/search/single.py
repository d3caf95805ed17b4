"""A scan in the one QEMU there is, where no machine of its own can look at an access again.

What breaks a machine must not be tried here, so such a scan is careful: each delivery is stepped over with no
watchpoint set, and its values are compared. A mere read by a delivery goes unnoticed.

An access by the last instruction before a fence, which QEMU does not report then, comes out with the next single step:
QEMU (7.2, 810 of 810) keeps it and reports it where the guest stops for a debugger next, whatever that step does. So a
run ends one instruction early, and a step tells whether there is anything to look at. If there is, the scan goes back a
little, which is a load, and goes on in the machine that it has then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from rrdbg.engine.machines.walk import Step
from rrdbg.engine.search.scan import Scan
from rrdbg.engine.search.watch import watched_step
from rrdbg.links.rsp import StopReply
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Breakpoint, Hit, Point, Watchpoint
from rrdbg.model.timeline.position import Position


class SingleScan(Scan):
    """One pass in a walker whose machine ``start_at`` ends; the walker is given the new one."""

    async def _run(self, landing: int, on_progress: ProgressCallback | None, include_start: bool) -> AsyncIterator[Hit]:
        early = landing - 1
        if not self._watchpoints or early <= self._walker.position.icount or not self._deliveries.is_plain(early):
            early = landing
        async for hit in super()._run(early, on_progress, include_start):
            yield hit
        if self._walker.position.icount < early:
            return
        if early < landing:
            for hit in await self._end_of_run(Position(landing)):
                yield hit
        elif self._watchpoints and self._fence_stop:
            for hit in await self._repeated(landing):
                yield hit

    async def _end_of_run(self, end: Position) -> list[Hit]:
        """What the last instruction of the run has done unreported, and what the one does that leads to ``end``."""
        here, pc = self._walker.position, await self._machine.pc()
        found: list[Hit] = []
        if hit := await self._breakpoint_hit(here, pc):
            found.append(hit)
        changed = [await self._may_have_changed(point) for point in self._writes]
        kept = await self._is_kept(pc, end) if self._fence_stop else False
        step = await self._walker.step()
        changed += [await self._may_have_changed(point) for point in self._writes]
        if kept or step.reply.watched or any(changed):
            # What a step has done, not a run, is told already.
            found += await self._repeated(here.icount if self._fence_stop else end.icount)
        # At one position the watchpoint comes first, since the step before it made the access.
        return sorted(found, key=lambda hit: (hit.position, isinstance(hit.point, Breakpoint)))

    async def _is_kept(self, pc: int, end: Position) -> bool:
        """Whether QEMU keeps an access that it has not reported; it forgets it with the answer.

        It reports it where it next stops for a debugger. A breakpoint here makes it stop without executing anything:
        if an instruction touched a page with a watchpoint before that, QEMU 7.2 would abort ("Raised interrupt while
        not in I/O function").
        """
        assert self._fence_stop is not None
        here = Breakpoint(0, pc)
        if pc not in self._breakpoints:
            await self._machine.insert(here)
        reply = await self._walker.run_to(end.icount)
        if pc not in self._breakpoints:
            await self._machine.remove(here)
        return self._fence_stop.watched is not None or (reply is not None and reply.watched is not None)

    async def _repeated(self, first: int) -> list[Hit]:
        """The accesses that lead to the plain icount ``first`` or to later ones up to the walker's position.

        They are stepped to once more, in a machine that the walker has from then on.
        """
        end = self._walker.position
        other = await self._start_at(self._deliveries.plain_at_or_before(first - 1))
        try:
            found: list[Hit] = []
            while other.position < end:
                found += (await watched_step(other, self._watchpoints))[1]
            points: list[Point] = [*self._breakpoints.values(), *self._watchpoints]
            for point in points:
                await other.machine.insert(point)
        except BaseException:
            await other.machine.close()
            raise
        self._walker.machine = other.machine
        return self._noted([hit for hit in found if hit.position >= Position(first)])

    async def _step(self) -> tuple[Step, Sequence[Hit]]:
        step, hits = await watched_step(self._walker, self._watchpoints)
        return step, self._noted(list(hits))

    async def _at_fence(self, position: Position) -> list[Hit]:
        """Nothing more: :meth:`_run` and :meth:`_step` have told all."""
        return []

    async def _walked(self, start: Position, end: Position, changed: set[Watchpoint]) -> list[Hit]:
        """Nothing more."""
        return []

    def _noted(self, hits: list[Hit]) -> list[Hit]:
        """Keep the values that ``hits`` have found, to compare later ones with."""
        for hit in hits:
            if isinstance(hit.point, Watchpoint) and hit.change:
                self._see(hit.point, hit.space, hit.change.after)
        return hits


async def all_at_once(hits: AsyncGenerator[Hit, None]) -> AsyncGenerator[Hit, None]:
    """The same hits, all found before the first is given."""
    async with aclosing(hits):
        found = [hit async for hit in hits]
    for hit in found:
        yield hit


class EagerScan(SingleScan):
    """Such a pass that judges each hit at once, at the price of going there once more: its walker stays usable."""

    async def _watch_hits(self, reply: StopReply, position: Position) -> list[Hit]:
        if not await super()._watch_hits(reply, position):
            return []
        return [hit for hit in await self._repeated(position.icount) if hit.position == position]
