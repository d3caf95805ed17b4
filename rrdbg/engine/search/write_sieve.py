"""Which writes change watched bytes, judged inside QEMU, so that none costs a stop, and nobody has to look before it.

The plugin (``links/watch.h``) compares the bytes before and after each write, and tells of those that differ, with what
comes next and with the address space. Where it counts as QEMU does (:mod:`rrdbg.engine.search.ledger`) that is a hit;
of each part of a stretch one is looked at: a machine goes there and sees whether one step makes that change. Where the
plugin could not read the bytes before (an instruction's first write, what a delivery may have written) a scan looks at
a small window, and :mod:`rrdbg.engine.search.trail` judges what it finds.

Only ``watch`` can be asked for so: deliveries read, too, and of that the plugin sees nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.access import StartAt
from rrdbg.engine.search.ledger_sieve import LedgerSieve
from rrdbg.engine.search.note_sieve import NoteSieve, notes_of
from rrdbg.engine.search.roots import Roots
from rrdbg.engine.search.scan import BROKEN, Accept, Scan
from rrdbg.engine.search.sieve import Sieve, Window
from rrdbg.engine.search.watch import hit_of, watched_bytes
from rrdbg.engine.search.write_condition import WriteCondition, write_condition
from rrdbg.links.registers import RegisterFile
from rrdbg.links.tally import Sighting
from rrdbg.model.hits.stop import Hit, NotedHit, Point, WatchKind, Watchpoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

_SHORT = 10_000
"""Instructions."""


def sieve_for(
    accelerator: Accelerator,
    timeline: Timeline,
    start_at: StartAt,
    points: Sequence[Point],
    accept: Accept | None,
    *,
    jumps: bool = True,
) -> Sieve | None:
    """What can ask the plugin in a search for ``points``, or None if they are not such."""
    writes = [point for point in points if isinstance(point, Watchpoint) and point.kind is WatchKind.WRITE]
    if writes and len(writes) == len(points) and not any(point.physical for point in writes):
        return (
            WriteSieve(accelerator, timeline, start_at, points, accept, {}, jumps=jumps)
            if accelerator.may_judge
            else None
        )
    kind = NoteSieve if notes_of(accept) and accelerator.may_judge else Sieve
    return kind.of(accelerator, timeline, start_at, points, accept, jumps=jumps)


class WriteSieve(LedgerSieve):
    """A search for writes that change something; make it with :func:`sieve_for`."""

    stops_of_a_window = 4
    """Each write in a scan is a stop and a look before it."""

    slack = 17
    """So soon after a delivery the plugin looks what has changed; a write lies before the place where it leads to."""

    changes = True

    _judge: WriteCondition | None = None

    async def can_judge(self, layout: RegisterFile) -> bool:
        """Whether the plugin can be asked."""
        self._roots = Roots(layout, self._timeline, self._start_at)
        judge = write_condition(self._accept)
        # Where a write was just made registers are not those behind its instruction.
        self._judge = None if judge and judge.condition.registers else judge
        conditions = {point.address: self._judge.condition for point in self._points} if self._judge else {}
        self._judging = await self._accelerator.judging(conditions, layout, common=self._roots.readings)
        return self._judging is not None

    async def _hit(self, sighting: Sighting, position: Position) -> Hit:
        """The write that the plugin has told of, which leads to ``position``."""
        assert isinstance(sighting.point, Watchpoint), "nothing else is looked for"
        root = await self._roots.root(sighting.values, position)
        hit = Hit(position, sighting.address, sighting.point, sighting.change, space=root)
        return self._with_note(hit, note=True)

    def _with_note(self, hit: Hit, *, note: bool) -> Hit:
        """``hit``, and whether the condition holds behind it, if there is one."""
        if self._judge is None:
            return hit
        return NotedHit(hit.position, hit.pc, hit.point, hit.change, space=hit.space, note=note)

    async def _seen(self, hit: Hit) -> Hit | None:
        assert isinstance(hit.point, Watchpoint)
        walker = await self._at(None, Position(hit.position.icount - 1))
        try:
            before = await watched_bytes(walker.machine, hit.point)
            await walker.step()
            found = await hit_of(walker, hit.point, before)
            note = self._judge is None or await self._judge.holds(self._judge.condition, walker.machine)
            return self._with_note(found, note=note)
        finally:
            await walker.machine.close()

    async def _look(self, walker: Walker, window: Window) -> list[Hit]:
        try:
            # Where something is delivered a watchpoint may break the machine, and most windows are short.
            return await self._scanned(walker, window, careful=window.end.icount - window.start.icount < _SHORT)
        except BROKEN:
            await walker.machine.close()
            other = await self._at(None, window.start)
            try:
                return await self._scanned(other, window, careful=True)
            finally:
                await other.machine.close()

    async def _scanned(self, walker: Walker, window: Window, *, careful: bool) -> list[Hit]:
        scan = Scan(walker, self._points, window.end, self._start_at, careful=careful)
        async with aclosing(scan.hits()) as hits:
            return [hit async for hit in hits]
