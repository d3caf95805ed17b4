"""Make snapshots that QEMU loads whole into mapped ones, without a replay: each is loaded once, and saved anew.

A recording has such ones from a rrdbg that made no others, or from one that was told to (``RRDBG_SNAPSHOTS=loadvm``).

Invariant: at each moment the timeline lists one whole snapshot at each of their places, the old one or the new one.
"""

from __future__ import annotations

import logging

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.errors import QemuDied, QemuLaunchError
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.model.timeline.snapshot import SnapshotKind
from rrdbg.store.timeline_file import unlink_snapshot

_log = logging.getLogger(__name__)


async def convert(launcher: Launcher, keeper: Keeper) -> int:
    """Convert what can be; how many snapshots that were.

    One that QEMU cannot load or save stays as it is, and so do all where RAM is not mapped.

    :raises QmpError: saving fails, for example since the disk is full; those that were converted stay so.
    """
    converted = 0
    for old in keeper.timeline.snapshots:
        if old.mapped or old.kind not in (SnapshotKind.PERIODIC, SnapshotKind.NAMED):
            continue
        try:
            walker, _ = await launcher.start(old, keeper.timeline, saving=True)
        except (QemuLaunchError, QemuDied) as error:
            _log.warning("The snapshot at %s cannot be loaded: %s", f"{old.icount:,}", error)
            continue
        try:
            if launcher.mapped_bytes(walker) is None:
                return converted
            await keeper.save(walker, old.kind, old.name)
        except SnapshotNotNow:
            continue
        finally:
            await walker.machine.close()
        unlink_snapshot(launcher.recording, old)
        converted += 1
    return converted
