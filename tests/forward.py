"""A machine that knows nothing of travel: it starts at the beginning of a recording, and only goes forward."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.walk import Walker
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline


@asynccontextmanager
async def from_start(root: Path) -> AsyncIterator[Walker]:
    """Such a machine of the recording at ``root``; it is ended behind the block."""
    with Recording.open(root) as recording:
        launcher = await Launcher.create(recording)
        timeline = load_timeline(recording)
        walker, _ = await launcher.start(timeline.snapshots[0], timeline)
        try:
            yield walker
        finally:
            await walker.machine.close()
            await launcher.close()
