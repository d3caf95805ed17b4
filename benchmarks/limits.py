"""What no debugger on QEMU can be faster than: replaying, starting a process, loading a snapshot."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.guests import Guest
from rrdbg.engine.launcher import Launcher
from rrdbg.model.snapshot import Snapshot
from rrdbg.model.timeline import Timeline
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: of a replay from start to end without a stop, of QEMU on the first and on the last snapshot."""

    replay: float
    start: float
    load: float


async def find_limits(guest: Guest) -> Limits:
    """Measure them once."""
    with Recording.open(guest.recording) as recording:
        timeline = load_timeline(recording)
        launcher = await Launcher.create(recording)
        try:
            load = await _start(launcher, timeline.snapshots[-1], timeline)
            walker, start = await launcher.start(timeline.snapshots[0], timeline)
            try:
                began = time.monotonic()
                await walker.machine.run_to(timeline.end.icount)
                return Limits(time.monotonic() - began, start, load)
            finally:
                await walker.machine.close()
        finally:
            launcher.close()


async def _start(launcher: Launcher, snapshot: Snapshot, timeline: Timeline) -> float:
    walker, seconds = await launcher.start(snapshot, timeline)
    await walker.machine.close()
    return seconds
