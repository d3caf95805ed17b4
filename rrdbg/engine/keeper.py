"""Take snapshots on the way, wherever a forward run passes through country that has none.

Snapshots are spaced by measured replay seconds, not by instructions: 20 million instructions of a Linux
boot take 0.03 s or 3 s. A run is cut into pieces of about a tenth of a second, whose lengths follow the
speed of the last one; when enough seconds have passed since the last snapshot, the end of a piece gets one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import TypeVar

from rrdbg.engine.launcher import Launcher
from rrdbg.engine.walk import Walker
from rrdbg.errors import QmpError
from rrdbg.links.machine import ProgressCallback
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.model.snapshot import Snapshot, SnapshotKind
from rrdbg.model.timeline import Timeline
from rrdbg.store.timeline_file import save_timeline

SPACING_SECONDS = 0.5
"""Replay time between two snapshots; with a start of 0.1 to 0.3 s any place is then near."""

_PIECE_SECONDS = 0.1
_FIRST_PIECE = 2_000_000
_LONGEST_PIECE = 100_000_000

_log = logging.getLogger(__name__)

T = TypeVar("T")


async def unbroken(work: Coroutine[object, object, T]) -> T:
    """Await ``work`` to its end even if we are cancelled meanwhile; the cancellation is then raised after it."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


class Keeper:
    """Knows the timeline of one recording and adds snapshots to it."""

    def __init__(self, launcher: Launcher, timeline: Timeline, spacing: float = SPACING_SECONDS) -> None:
        self._launcher = launcher
        self._spacing = spacing
        # A snapshot would not hold the disk's content: only the scratch layer of it is saved so far.
        self._full = not launcher.recording.writable or launcher.recording.has_writable_disk
        self.timeline = timeline

    async def advance(self, walker: Walker, icount: int, on_progress: ProgressCallback | None) -> None:
        """Run ``walker``, which must have no breakpoints, to the plain ``icount``, leaving snapshots behind it."""
        piece = _FIRST_PIECE
        since = 0.0
        while walker.position.icount < icount:
            here = walker.position.icount
            goal = self._next_goal(here, piece, icount)
            began = time.monotonic()
            await walker.run_to(goal, on_progress)
            seconds = max(time.monotonic() - began, 1e-4)
            known = self.timeline.nearest(goal)
            since = 0.0 if known and known.icount > here else since + seconds
            if since >= self._spacing and goal < icount and await self._try_save(walker):
                since = 0.0
            piece = int(min(piece * min(_PIECE_SECONDS / seconds, 4.0), _LONGEST_PIECE)) + 1
            if on_progress:
                on_progress(walker.position.icount)

    async def save(self, walker: Walker, kind: SnapshotKind, name: str | None = None) -> Snapshot:
        """Save a snapshot where ``walker`` stands, a plain position, and keep it with the recording.

        :raises QmpError: QEMU cannot, or not now.
        """
        snapshot = replace(await unbroken(self._launcher.save(walker, kind)), name=name)
        self._keep(snapshot)
        return snapshot

    def adopt(self, snapshot: Snapshot, name: str | None) -> Snapshot:
        """Make a snapshot that is there already one of the user's."""
        adopted = replace(snapshot, kind=SnapshotKind.NAMED, name=name)
        self._keep(adopted)
        return adopted

    def _keep(self, snapshot: Snapshot) -> None:
        self.timeline = self.timeline.with_snapshot(snapshot)
        save_timeline(self._launcher.recording, self.timeline)

    def _next_goal(self, here: int, piece: int, icount: int) -> int:
        goal = self.timeline.deliveries.plain_at_or_before(here + piece)
        return min(goal, icount) if goal > here else icount

    async def _try_save(self, walker: Walker) -> bool:
        if self._full:
            return False
        try:
            await self.save(walker, SnapshotKind.PERIODIC)
        except SnapshotNotNow:
            return False
        except (QmpError, OSError) as error:
            # Snapshots only save time: without room for more, travel goes on with those there are.
            self._full = True
            _log.warning("No more snapshots are taken: %s", error)
            return False
        return True
