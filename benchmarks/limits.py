"""What no debugger on QEMU can be faster than: replaying, starting a process, loading a snapshot."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from benchmarks.guests import Guest
from benchmarks.places import Places
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.snapshot import Snapshot
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: of a replay from start to end without a stop, of QEMU on the first and on the last snapshot.

    ``stretches`` has those of a replay of what a search must look at, by the measure's name.
    """

    replay: float
    start: float
    load: float
    stretches: dict[str, float] = field(default_factory=dict)


async def find_limits(guest: Guest, places: Places) -> Limits:
    """Measure them once."""
    with Recording.open(guest.recording) as recording:
        timeline = load_timeline(recording)
        plain, end = timeline.deliveries.plain_at_or_before, timeline.end.icount
        launcher = await Launcher.create(recording)
        try:
            load = await _start(launcher, timeline.snapshots[-1], timeline)
            walker, start = await launcher.start(timeline.snapshots[0], timeline)
            try:
                ends = {name: (plain(low), plain(high)) for name, (low, high) in places.stretches.items()}
                began = time.monotonic()
                reached = {0: 0.0}
                for icount in sorted({*(place for stretch in ends.values() for place in stretch), end} - {0}):
                    await walker.machine.run_to(icount)
                    reached[icount] = time.monotonic() - began
                stretches = {name: round(reached[high] - reached[low], 4) for name, (low, high) in ends.items()}
                return Limits(reached[end], start, load, stretches)
            finally:
                await walker.machine.close()
        finally:
            await launcher.close()


async def _start(launcher: Launcher, snapshot: Snapshot, timeline: Timeline) -> float:
    walker, seconds = await launcher.start(snapshot, timeline)
    await walker.machine.close()
    return seconds
