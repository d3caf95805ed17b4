"""Which spare processes are worth their memory: machines that wait where the user will probably need one next.

A reverse step needs a machine a little before the cursor. A search backwards needs one at the snapshot before the
cursor, and when it has found something another one there, to go to what it has found; without a hit it goes on from
the snapshot before that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot

NEAR_INSTRUCTIONS = 10_000
"""How far before the cursor a spare waits at least: more than the longest pass of single steps."""

NEAR_SECONDS = 0.05
"""Replay time before the cursor that a spare may wait and still counts as near."""

MOST_SECONDS = 10.0
"""Replay time that a spare near the cursor may cost to get there."""

MEMORY_SHARE = 0.1
"""The spares together may take this part of the memory that is free, or theirs."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A spare that would be of use: from ``snapshot`` run on to the plain ``icount``; from ``least`` on it will do."""

    snapshot: Snapshot
    icount: int
    least: int

    def met_by(self, icount: int) -> bool:
        """True if a spare at ``icount`` will do."""
        return self.least <= icount <= self.icount


def wishes(timeline: Timeline, cursor: Position) -> tuple[Wish, ...]:
    """The spares for a user at ``cursor``, the most useful first."""
    found = []
    if near := _near(timeline, cursor):
        found.append(near)
    if before := timeline.nearest(cursor.icount - 1):
        found += [_at(before)] * 2
        if earlier := timeline.nearest(before.icount - 1):
            found.append(_at(earlier))
    return tuple(found)


def unmet(wanted: Iterable[Wish], icounts: Iterable[int]) -> tuple[tuple[Wish, ...], tuple[int, ...]]:
    """The wishes that spares at ``icounts`` leave open, and the indices of the spares that nobody wishes for."""
    left = list(enumerate(icounts))
    open_wishes = []
    for wish in wanted:
        fitting = next((item for item in left if wish.met_by(item[1])), None)
        if fitting:
            left.remove(fitting)
        else:
            open_wishes.append(wish)
    return tuple(open_wishes), tuple(index for index, _ in left)


def _near(timeline: Timeline, cursor: Position) -> Wish | None:
    goal = timeline.deliveries.plain_at_or_before(max(cursor.icount - NEAR_INSTRUCTIONS, 0))
    snapshot = timeline.nearest(goal)
    if cursor.icount == 0 or snapshot is None or timeline.cost.seconds(snapshot.icount, goal) > MOST_SECONDS:
        return None
    least = min(timeline.cost.back(cursor.icount, NEAR_SECONDS), goal)
    return _at(snapshot) if snapshot.icount >= least else Wish(snapshot, goal, least)


def _at(snapshot: Snapshot) -> Wish:
    return Wish(snapshot, snapshot.icount, snapshot.icount)
