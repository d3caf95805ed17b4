"""Looks where a guest's code shares memory with what interrupts it: one pass with the accelerator's plugin.

At each interrupt the machine stops, and again where the instruction comes that it came before: all between is what has
interrupted the guest's code, be it a handler or, in a system with threads, another thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rrdbg.engine.replay import Replay
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import PluginError
from rrdbg.links.tally import Access, Everything
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.hunt.sharing import Sharing, Touch
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.position import Position

MOST_INTERRUPTS = 500
"""So many behind the place are looked at: a few seconds."""

_NESTED = 8
"""Interrupts that may come before what was interrupted goes on; a thread that was may be over."""

_NUMBER = 1
"""Of the only breakpoint."""


async def look(replay: Replay, start: int) -> Sequence[Sequence[Touch]]:
    """Where the guest's code has just touched shared memory, from ``start`` on, which is plain; by stretches.

    The cursor stays.

    :raises PluginError: QEMU takes no plugin here; why.
    :raises LinkError: QEMU fails.
    """
    async with replay.still():
        survey = await replay.accelerator.survey(replay.timeline, start, [Everything()])
        if survey is None:
            raise PluginError((await replay.accelerator.info()).text)
        try:
            await survey.arrive(Position(start))
            stretches = await _Lookout(survey).run(start)
        finally:
            await survey.close()
    plain, end = replay.timeline.deliveries.is_plain, replay.timeline.end.icount
    usable = ([touch for touch in each if touch.icount < end and plain(touch.icount)] for each in stretches)
    return [stretch for stretch in usable if stretch]


class _Lookout:
    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._walker = survey.walker
        self._sharing = Sharing()

    async def run(self, start: int) -> Sequence[Sequence[Touch]]:
        walker, survey = self._walker, self._survey
        survey.begin()
        for number, icount in enumerate(self._interrupts(start)):
            if number == MOST_INTERRUPTS:
                break
            if icount < walker.position.icount:
                continue  # it came while something else interrupted the code
            await self._until(await self._interrupted(icount))
            self._sharing.interrupts((access.pc, access.address, access.writes) for access in survey.accesses())
        return self._sharing.places()

    def _interrupts(self, start: int) -> Iterator[int]:
        return (icount for icount, kind in self._walker.timeline.deliveries.after(start) if kind is Delivery.INTERRUPT)

    def _touches(self) -> Iterator[tuple[Touch, int, bool]]:
        for access in self._survey.accesses():
            yield self._touch(access), access.address, access.writes

    def _touch(self, access: Access) -> Touch:
        return Touch(self._survey.icount(access.executed), access.pc)

    async def _interrupted(self, icount: int) -> int:
        """Go to where an interrupt comes at ``icount``, take it, and tell which instruction comes when it is over."""
        walker, machine = self._walker, self._walker.machine
        landing = walker.timeline.landing_before(Position(icount))
        if landing > walker.position.icount:
            await walker.run_to(landing)
        before = pc = await machine.pc()
        while walker.position < Position(icount):
            before = pc
            await walker.step()
            pc = await machine.pc()
        self._sharing.runs(self._touches())
        step = await walker.step()
        if step.after.icount == icount:
            return pc
        # The CPU had halted: the interrupt has come with the step over that, and goes back behind it.
        behind = [address for address, _ in await machine.disassemble(before, 2)][1:]
        return behind[0] if behind else before

    async def _until(self, pc: int) -> None:
        """Run until the instruction at ``pc`` comes, which was interrupted."""
        walker = self._walker
        timeline = walker.timeline
        point = Breakpoint(_NUMBER, pc)
        for _ in range(_NESTED):
            # Other interrupts may come before.
            coming = next(self._interrupts(walker.position.icount + 1), timeline.end.icount)
            fence = timeline.landing_before(Position(coming))
            if walker.position.icount < fence:
                await walker.machine.insert(point)
                try:
                    await walker.run_to(fence)
                finally:
                    await walker.machine.remove(point)
            if await walker.machine.pc() == pc:
                return
            while walker.position.icount <= coming and walker.position < timeline.end:
                await walker.step()
