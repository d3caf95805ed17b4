"""A machine that looks at other places than a search's own: it goes from one to the next, or is started anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.access import StartAt
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.travel.plan import START_SECONDS

Known = Callable[[], Timeline]
"""What is known of the timeline by now: where the way there is the first, snapshots are laid on it."""

LeaveTo = Callable[[Walker], Awaitable[None]]
"""Takes a machine that is no longer needed."""


async def end(walker: Walker) -> None:
    """End a machine for which nobody has a use."""
    await walker.machine.close()


class Follower:
    """Such a machine, started when it is first needed; end it with :meth:`close`, which leaves it to ``leave_to``."""

    def __init__(self, start_at: StartAt, known: Known, leave_to: LeaveTo = end) -> None:
        self._start_at = start_at
        self._known = known
        self._leave_to = leave_to
        self._walker: Walker | None = None

    async def at(self, position: Position) -> Walker:
        """The machine, brought to ``position``; asked in the order of positions it mostly goes forward."""
        walker = self._walker
        if walker is None or not walker.machine.usable or self._jumps(walker.position, position):
            await self.close()
            walker = self._walker = await self._start_at(self._known().landing_before(position))
        await walker.arrive(position)
        return walker

    async def close(self) -> None:
        """Give the machine away, if there is one."""
        if self._walker:
            walker, self._walker = self._walker, None
            await self._leave_to(walker)

    def _jumps(self, here: Position, target: Position) -> bool:
        """True if a machine that is started on a snapshot is at ``target`` sooner than one that stands ``here``."""
        if here > target:
            return True
        timeline = self._known()
        snapshot = timeline.nearest(timeline.landing_before(target))
        if snapshot is None or snapshot.icount <= here.icount:
            return False
        return timeline.cost.seconds(here.icount, snapshot.icount) > START_SECONDS
