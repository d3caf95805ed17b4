"""The gaps between snapshots, which are filled while nobody waits.

A first pass lays as many snapshots as pay: a Linux boot of 5 s has a dozen, and a jump there replays 0.2 s on average.
While the user thinks there is time for more, until what a jump replays takes no longer than what it needs to start.
"""

from __future__ import annotations

from rrdbg.engine.machines.source import Machines
from rrdbg.engine.snapshots.keeper import WIDE_GAP, Keeper
from rrdbg.links.memory import available
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.process import Role

AIM_SECONDS = 0.1
"""Replay time between two snapshots to come to. A blank needs 20 ms to become one of them."""

MOST_SNAPSHOTS = 400
"""No more are laid unasked: each writing of the timeline takes 0.4 ms for each."""

BUDGET_SHARE = 0.5
"""So much of the budget they may fill, so that nothing is dropped for them."""

MEMORY_SHARE = 0.2
"""A machine that can be saved has twice what its guest writes, which may be this part of the memory that is free."""

_WRITTEN = 0.25
"""The part of RAM that a guest is taken to write between two snapshots, a second or two of replay apart."""


class Gaps:
    """Those of one recording, whose timeline ``keeper`` has."""

    def __init__(self, launcher: Machines, keeper: Keeper) -> None:
        self._launcher = launcher
        self._keeper = keeper
        self._done = set[int]()  # where one begins of which all is laid that can be

    async def fill_next(self, cursor: Position) -> bool:
        """Lay snapshots in one gap, the next one before ``cursor`` or, if there is none, after it; False if no more is
        to be done, or there is no room.

        May be cancelled at any moment, while nothing moves; what was laid stays.

        :raises LinkError: a machine does not come through.
        """
        self._keeper.shelf.catch_up()
        timeline = self._keeper.timeline
        spacing = self._spacing(timeline)
        gap = self._next(timeline, spacing, cursor)
        if gap is None or not self._has_room(timeline):
            return False
        low, high = gap
        walker, _ = await self._launcher.start(low, timeline, Role.SAVING, saving=True)
        try:
            with self._keeper.denser(spacing):
                await self._keeper.advance(walker, high, None)
            self._done.add(low.icount)
        finally:
            await walker.machine.close()
        return True

    def _spacing(self, timeline: Timeline) -> float:
        return max(AIM_SECONDS, timeline.cost.seconds(0, timeline.end.icount) / MOST_SNAPSHOTS)

    def _next(self, timeline: Timeline, spacing: float, cursor: Position) -> tuple[Snapshot, int] | None:
        """The snapshot before the gap, and where the gap ends."""
        ends = [*(known.icount for known in timeline.snapshots[1:]), timeline.end.icount]
        wide = [
            (low, high)
            for low, high in zip(timeline.snapshots, ends, strict=True)
            if _saved_in_pages(timeline, low)
            and low.icount not in self._done
            and timeline.cost.seconds(low.icount, high) >= spacing * WIDE_GAP
        ]
        before = [gap for gap in wide if gap[0].icount < cursor.icount]
        return (before[-1] if before else wide[0]) if wide else None

    def _has_room(self, timeline: Timeline) -> bool:
        launcher, keeper = self._launcher, self._keeper
        return (
            not keeper.shelf.full
            and launcher.room(timeline) < keeper.shelf.budget * BUDGET_SHARE
            and 2 * launcher.ram * _WRITTEN <= available() * MEMORY_SHARE
        )


def _saved_in_pages(timeline: Timeline, snapshot: Snapshot) -> bool:
    """Whether what is saved in a machine that was started on it takes the room of what has changed alone."""
    if snapshot.kind is SnapshotKind.INITIAL:
        return any(known.mapped for known in timeline.snapshots)
    return snapshot.mapped
