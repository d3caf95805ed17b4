"""Prove that a snapshot is the state it claims to be, by what a second process makes of it.

A guest that was loaded must be the guest that a replay brought there, and must stay so: registers and RAM are compared
right at the snapshot and again at a later position, which tells of devices and timers that were not restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rrdbg.engine.machines.source import Machines
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import Divergence, QemuDied, QemuLaunchError, RspError, Stalled
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.process import Role
from rrdbg.model.travel.spacing import PROOF_SECONDS

FAILURES = (Divergence, QemuDied, QemuLaunchError, RspError, Stalled)
"""What a bad snapshot makes QEMU do."""


async def digests(launcher: Machines, timeline: Timeline, snapshot: Snapshot, icounts: Sequence[int]) -> list[str]:
    """Checksums of the guest's state at plain ``icounts``, which are in order, by a machine from ``snapshot``.

    :raises QmpError: the guest's memory cannot be read here at all.
    """
    walker, _ = await launcher.start(snapshot, timeline, Role.PROVING)
    try:
        found = []
        for icount in icounts:
            await walker.run_to(icount)
            found.append(await launcher.digest(walker))
        return found
    finally:
        await walker.machine.close()


async def failure(launcher: Machines, timeline: Timeline, snapshot: Snapshot, icount: int, digest: str) -> str | None:
    """What is wrong with ``snapshot``, which must have a digest of its own and lead to ``digest`` at ``icount``.

    None if all is well.

    :raises QmpError: the guest's memory cannot be read here at all.
    """
    try:
        here, later = await digests(launcher, timeline, snapshot, (snapshot.icount, icount))
    except FAILURES as error:
        return str(error)
    if snapshot.digest and here != snapshot.digest:
        return "registers or RAM differ right after the load"
    return None if later == digest else f"registers or RAM differ at {icount:,}"


async def prove_next(launcher: Machines, shelf: Shelf) -> bool:
    """Prove the first snapshot that nobody has proved yet, by a replay from the one before; False if there is none.

    An unsound one is dropped, or marked if it is the user's. May be cancelled at any moment.

    :raises QmpError: the guest's memory cannot be read here at all.
    :raises Divergence: the replay from the one before, which was proved, does not come through.
    """
    timeline = shelf.timeline
    last: Snapshot | None = None
    for snapshot in timeline.snapshots:
        if last and snapshot.sound is None and snapshot.kind is not SnapshotKind.LADDER:
            # Just after it, but no further than the end.
            later = timeline.landing_before(
                Position(timeline.cost.ahead(snapshot.icount, PROOF_SECONDS, timeline.end.icount))
            )
            here, after = await digests(launcher, timeline, last, (snapshot.icount, max(later, snapshot.icount)))
            why = await failure(launcher, timeline, replace(snapshot, digest=here), max(later, snapshot.icount), after)
            if why is None:
                shelf.proved(snapshot)
            else:
                shelf.distrust(snapshot, why)
            return True
        if snapshot.sound:
            last = snapshot
    return False
