"""A machine that follows a scan, and looks at the watched bytes just before the accesses that the scan has met.

QEMU stops behind the instruction on most architectures, and what a scan saw last may be long past: meanwhile a device
or another mapping may have written there, or the address may have come to mean other memory. So the bytes before an
access are read where it is about to be made. That costs a start and then a run to each one, without any point set; so
only those are looked at that somebody wants to know of. Whoever looks for the last one looks at the last one first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rrdbg.engine.search.access import StartAt
from rrdbg.engine.search.follower import Follower, Known, LeaveTo, end
from rrdbg.engine.search.watch import watched_bytes
from rrdbg.model.hits.stop import Hit, WatchKind, Watchpoint, value_change
from rrdbg.model.timeline.position import Position

Tell = Callable[[Hit, Hit | None], None]
"""Told of a hit that was not judged what it is; None if it is none."""


class Trail:
    """Such a machine, started when it is first needed; end it with :meth:`close`, which leaves it to ``leave_to``.

    ``tell`` is told of each hit that was judged.
    """

    def __init__(
        self, start_at: StartAt, known: Known, leave_to: LeaveTo = end, tell: Tell = lambda hit, judged: None
    ) -> None:
        self._follower = Follower(start_at, known, leave_to)
        self._known = known
        self._tell = tell

    async def judged(self, hit: Hit) -> Hit | None:
        """``hit`` with the bytes before it; None if it is a write that has changed nothing.

        Asked in the order of positions, the machine only goes forward.
        """
        if hit.judged:
            return hit
        assert isinstance(hit.point, Watchpoint), "only accesses are not judged at once"
        after = hit.change.after if hit.change else None
        change = value_change(await self._before(hit.position, hit.point), after)
        nothing = hit.point.kind is WatchKind.WRITE and (change is None or change.before == change.after)
        judged = None if nothing else replace(hit, change=change, judged=True)
        self._tell(hit, judged)
        return judged

    async def close(self) -> None:
        """Give the machine away, if there is one."""
        await self._follower.close()

    async def _before(self, position: Position, point: Watchpoint) -> bytes | None:
        """The bytes of ``point`` where the step is about to be made that leads to ``position``."""
        deliveries = self._known().deliveries
        below = position.icount - (position.phase == 0)
        base = Position(deliveries.plain_at_or_before(below))
        walker = await self._follower.at(base)
        found = await watched_bytes(walker.machine, point)
        if base.icount < below or not deliveries.is_plain(below):
            while (await walker.step()).after < position:
                found = await watched_bytes(walker.machine, point)
        return found


async def judge_last(trail: Trail, hits: list[Hit], wanted: Callable[[Hit], bool]) -> Hit | None:
    """The last of ``hits``, which are in order, that is a hit and ``wanted``; ``hits`` are judged from there on.

    Looking at one after the other backwards takes a start each. So more and more are looked at together.
    """
    end, many = len(hits), 1
    while end:
        start = max(end - many, 0)
        judged = [await trail.judged(hit) if wanted(hit) else hit for hit in hits[start:end]]
        hits[start:end] = [hit for hit in judged if hit]
        last = next((hit for hit in reversed(judged) if hit and wanted(hit)), None)
        if last:
            return last
        end, many = start, 8 * many
    return None
