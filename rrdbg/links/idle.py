"""Whether a stopped QEMU has anything outstanding with its host.

A request of the guest's disk that the host is still busy with is in none of QEMU's queues, so QEMU does not see it as
it saves a snapshot: the snapshot lacks it, and QEMU may wait for its answer, which while it replays only comes as the
guest goes on (10.0: 4 of 300 saves hung). A request is carried out by one of QEMU's threads and its end taken up by
another, so nothing is outstanding where all of them sleep and none has woken up meanwhile.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path

from rrdbg.links.qmp import SnapshotNotNow

PATIENCE_SECONDS = 1.0
"""A page of the host's is written in some microseconds; a disk that is slow may take seconds."""

_PAUSE_SECONDS = 0.001
_SLEEPS = re.compile(rb"^State:\s+S", re.MULTILINE)
_WOKEN = re.compile(rb"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)


async def wait_for_host(pid: int) -> None:
    """Wait until the stopped QEMU ``pid`` has nothing outstanding with its host.

    :raises SnapshotNotNow: after :data:`PATIENCE_SECONDS` it still has.
    """
    began = time.monotonic()
    before = _asleep(pid)
    while (now := _asleep(pid)) is None or now != before:
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise SnapshotNotNow(f"QEMU (pid {pid}) could not save a snapshot: the host is busy with its disks.")
        before = now
        await asyncio.sleep(_PAUSE_SECONDS)  # the kernel tells nobody of this


def _asleep(pid: int) -> Sequence[tuple[str, int]] | None:
    """How often each thread of the process has gone to sleep, if all of them sleep."""
    found = []
    for thread in sorted(Path(f"/proc/{pid}/task").iterdir()):
        try:
            status = (thread / "status").read_bytes()
        except OSError:  # it has ended meanwhile
            return None
        times = _WOKEN.search(status)
        if times is None or not _SLEEPS.search(status):
            return None
        found.append((thread.name, int(times[1])))
    return found
