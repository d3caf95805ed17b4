"""Which snapshots to keep inside a budget, and where a ladder's rungs go. Pure arithmetic.

Let the snapshots lie at replay times t0 = 0 < t1 < ... < tn, the recording ending at T, all in measured seconds of
replay. A jump to time x loads the last ti <= x and replays x - ti. With gaps g0 .. gn between neighbours (the last
one up to T):

    worst jump     W = max gi
    expected jump  E = sum(gi^2) / 2T          for x even over the replay's time

Dropping snapshot i joins the gap a before it and b after it to a + b:

    rise of W = max(W, a + b) - W
    rise of E = ((a + b)^2 - a^2 - b^2) / 2T = ab / T

The snapshot dropped next is the one with the least rise of W and, among those, the least rise of E; rungs of a ladder
go before all others, since they are temporary. Loads cost about the same from each snapshot, so they cancel out.
But one that takes more than half of the budget goes next: to keep it nearly all others would have to go.
"""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.model.timeline.cost import CostMap
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind

DEFAULT_SHARE = 0.1
"""The default budget is this part of the disk space that is free or already holds the recording's snapshots."""

MOST_BYTES = 1_000_000_000
"""More than this is not taken unasked: a Debian boot has a snapshot every half second of replay in less."""

TARGET_SECONDS = 0.3
"""Replay time between two snapshots: the worst jump is then this and a load."""

PROOF_SECONDS = 0.1
"""How far behind a snapshot, in replay time, its proof ends: with a timer that is lost a guest stands still before."""

FIRST_RUNG_SECONDS = 0.05
"""How far behind the cursor the nearest rung of a ladder lies; each further one is twice as far."""


def default_budget(free: int, used: int, ram: int = 0) -> int:
    """The budget in bytes where the user names none: a tenth of ``free`` + ``used``, but a gigabyte at most.

    A guest with much ``ram``, in bytes, may take twice as much as that: one state that has all of it must have room.
    """
    return min(int((free + used) * DEFAULT_SHARE), max(MOST_BYTES, 2 * ram))


def to_drop(snapshots: Sequence[Snapshot], cost: CostMap, end: int, budget: int) -> tuple[Snapshot, ...]:
    """The snapshots to drop, in this order, until the rest takes at most ``budget`` bytes.

    ``snapshots`` are ordered by icount and start with the initial one. That and named ones are never dropped, so the
    rest may still be over the budget; with the budget kept already nothing is dropped.
    """
    kept = list(snapshots)
    times = _times(kept, cost)
    length = times[-1] + cost.seconds(kept[-1].icount, end) if kept else 0.0
    excess = sum(snapshot.size for snapshot in kept) - budget
    dropped = []
    while excess > 0:
        candidates = [index for index, snapshot in enumerate(kept) if _may_go(snapshot)]
        if not candidates:
            break
        gaps = [after - before for before, after in zip(times, [*times[1:], length], strict=True)]
        worst = max(gaps)

        def rise(index: int, gaps: Sequence[float] = gaps, worst: float = worst) -> tuple[bool, bool, float, float]:
            before, after = gaps[index - 1], gaps[index]
            too_large = 2 * kept[index].size > budget
            temporary = kept[index].kind is SnapshotKind.LADDER
            return not temporary, not too_large, max(worst, before + after) - worst, before * after

        index = min(candidates, key=rise)
        excess -= kept[index].size
        dropped.append(kept.pop(index))
        del times[index]
    return tuple(dropped)


def rungs(cost: CostMap, low: int, here: int) -> tuple[int, ...]:
    """Where a ladder from the snapshot at ``low`` to ``here`` has its rungs: icounts in order, both ends excluded."""
    found: list[int] = []
    distance = FIRST_RUNG_SECONDS
    while (icount := cost.back(here, distance)) > low and cost.seconds(low, icount) > FIRST_RUNG_SECONDS:
        if icount < (found[-1] if found else here):
            found.append(icount)
        distance *= 2
    return tuple(reversed(found))


def _may_go(snapshot: Snapshot) -> bool:
    return snapshot.kind in (SnapshotKind.PERIODIC, SnapshotKind.LADDER)


def _times(snapshots: Sequence[Snapshot], cost: CostMap) -> list[float]:
    """The replay time of each snapshot."""
    times: list[float] = []
    for index, snapshot in enumerate(snapshots):
        before = snapshots[index - 1].icount if index else 0
        times.append((times[-1] if times else 0.0) + cost.seconds(before, snapshot.icount))
    return times
