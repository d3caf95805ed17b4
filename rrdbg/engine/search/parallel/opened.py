"""A recording as a worker has it open: only to read it, so that any number of processes may."""

from __future__ import annotations

from pathlib import Path

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.segment import Listener, SegmentTask, perform
from rrdbg.links.scheduling import Processors
from rrdbg.model.timeline.line import Timeline
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline


class Opened:
    """Such a recording; make it with :meth:`open`, end it with :meth:`close`."""

    def __init__(self, launcher: Launcher, timeline: Timeline) -> None:
        self._launcher = launcher
        self._accelerator = Accelerator.of(launcher)
        self._timeline = timeline

    @classmethod
    async def open(cls, path: Path, *, own: bool, processors: Processors | None = None) -> Opened:
        """Open the recording at ``path``; whoever sends the tasks has checked it, and keeps its snapshots meanwhile.

        ``own`` tells that it is that one's own. Its machines share ``processors``, all that there are by default.

        :raises RecordingError: it is not there.
        :raises QemuLaunchError: its QEMU is not here.
        """
        recording = Recording.join(path, own=own)
        return cls(await Launcher.create(recording, processors), load_timeline(recording))

    async def perform(self, task: SegmentTask, listener: Listener) -> None:
        """Do ``task``, and tell ``listener`` what it finds.

        :raises LinkError: as a scan does, when all before was told.
        """
        await perform(task, self._launcher, self._accelerator, self._timeline, listener)

    async def close(self) -> None:
        """Remove what was written for the machines, which must have ended."""
        await self._launcher.close()
