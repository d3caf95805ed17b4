"""The snapshots and marks that lie in a recording: listed, proved, dropped, and kept within the budget.

It owns the timeline, which only it changes: what is found goes there at once and is written down a little later, in
turn with the other sessions in the recording. Invariant: what is listed is there; what is no longer listed may be.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

from rrdbg.engine.machines.source import Machines
from rrdbg.errors import HostError
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.cost import Piece
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.spacing import default_budget, to_drop
from rrdbg.store.kept_timeline import KeptTimeline
from rrdbg.store.sharing import InUseError
from rrdbg.store.timeline_file import unlink_snapshot

_FILLED = 0.9
"""The part of the budget that is left full when it was used up."""

_WRITES_LATER = 20
"""How many times as long as the last writing of the timeline took the next one waits.

That is 20 ms for fifty snapshots, which each new one need not pay.
"""

_log = logging.getLogger(__name__)


class Shelf:
    """What one recording has on its ``timeline``, of machines that ``launcher`` starts, within ``budget`` bytes."""

    def __init__(self, launcher: Machines, timeline: Timeline, budget: int | None = None) -> None:
        self._launcher = launcher
        self._budget = budget
        self._full = not launcher.writable
        self._to_write: asyncio.TimerHandle | None = None
        self._wrote_for = 0.0
        self.timeline = timeline
        self._kept_timeline = KeptTimeline(launcher.recording, timeline)

    def catch_up(self) -> None:
        """Take up what other sessions have found in the recording since."""
        self.timeline = self._kept_timeline.renewed(self.timeline)

    @property
    def budget(self) -> int:
        """How many bytes all snapshots together may take."""
        if self._budget is not None:
            return self._budget
        free = shutil.disk_usage(self._launcher.recording.layout.root).free
        return default_budget(free, self._launcher.room(self.timeline), self._launcher.ram)

    @property
    def full(self) -> bool:
        """True if no more snapshots are taken, since they cannot be kept, or there was no room for one."""
        return self._full

    def adopt(self, snapshot: Snapshot, name: str | None) -> Snapshot:
        """Make a snapshot that is there already one of the user's."""
        adopted = replace(snapshot, kind=SnapshotKind.NAMED, name=name)
        self.keep(adopted, at_once=True)
        return adopted

    def loaded(self, snapshot: Snapshot, seconds: float) -> None:
        """Note how long a load of ``snapshot`` took; it is written down with the next change."""
        known = self.timeline.snapshot_at(snapshot.icount)
        if known is not None:
            self.timeline = self.timeline.with_snapshot(replace(known, load_seconds=round(seconds, 4)))

    def proved(self, snapshot: Snapshot) -> None:
        """Note that a second process has proved ``snapshot`` sound."""
        known = self.timeline.snapshot_at(snapshot.icount)
        if known is not None:
            self.keep(replace(known, sound=True))

    def distrust(self, snapshot: Snapshot, why: str) -> None:
        """Do not load ``snapshot`` any more: one of ours is dropped, one of the user's stays, marked as unsound."""
        _log.warning("The snapshot at %s is not used any more: %s", f"{snapshot.icount:,}", why)
        if snapshot.kind is SnapshotKind.NAMED:
            self.keep(replace(snapshot, sound=False), at_once=True)
        else:
            self.drop(snapshot)

    def bookmark(self, name: str, bookmark: Bookmark | None) -> None:
        """Name a place, or (None) take the name away, and keep that with the recording.

        :raises HostError: the disk is full.
        """
        self.catch_up()
        bookmarks = {known: place for known, place in self.timeline.bookmarks.items() if known != name}
        if bookmark:
            bookmarks[name] = bookmark
        self.timeline = replace(self.timeline, bookmarks=bookmarks)
        self._write()

    def mark(self, name: str, position: Position, text: str) -> None:
        """Note what was found at a position, under a name such as ``stops``; written down with the next change."""
        self.timeline = self.timeline.with_mark(name, Mark(position, text))

    def runs(self, start: Position, end: Position, runs: Sequence[Mark]) -> None:
        """Note who ran on a stretch, in the place of what was known of that; as for :meth:`mark`."""
        self.timeline = self.timeline.with_runs(start, end, runs)

    def drop(self, *snapshots: Snapshot) -> None:
        """Forget ``snapshots`` for good: first they are no longer listed, then their files are deleted."""
        if not snapshots:
            return
        for snapshot in snapshots:
            self.timeline = self.timeline.without_snapshot(snapshot.icount)
        if self._launcher.recording.writable:
            self._write()
            with self._launcher.recording.others_absent() as alone:
                if alone:  # or else the files go when the recording is opened next
                    # Another session may have kept one at the same place, in the same files.
                    listed = {file for known in self.timeline.snapshots for file in known.files}
                    for snapshot in snapshots:
                        if listed.isdisjoint(snapshot.files):
                            unlink_snapshot(self._launcher.recording, snapshot)
                    self._launcher.forgotten(self.timeline)

    def keep(self, snapshot: Snapshot, *, at_once: bool = False) -> None:
        """List ``snapshot``, whose files are there; it is written down a little later, or ``at_once``.

        :raises HostError: the disk is full.
        :raises InUseError: another session holds the recording for too long.
        """
        self.timeline = self.timeline.with_snapshot(snapshot)
        if at_once:
            self._write()
        elif self._to_write is None:
            self._to_write = asyncio.get_running_loop().call_later(_WRITES_LATER * self._wrote_for, self._write_now)

    def no_more(self, error: Exception) -> None:
        """Take no more snapshots, since ``error`` came of one: they only save time, and travel goes on without."""
        self._full = True
        _log.warning("No more snapshots are taken: %s", error)

    def measured(self, piece: Piece) -> None:
        """Note what replaying a stretch has cost; as for :meth:`mark`."""
        self.timeline = replace(self.timeline, cost=self.timeline.cost.with_piece(piece))

    @property
    def crowded(self) -> bool:
        """True if there is no room for more snapshots, and none may be dropped, since others work with them."""
        with self._launcher.recording.others_absent() as alone:
            return not alone and self._launcher.room(self.timeline) > self.budget

    def thin(self) -> None:
        """Drop what is over the budget, but for snapshots that a machine stands on."""
        budget = self.budget
        if self._launcher.room(self.timeline) <= budget or self.crowded:
            return
        # Room for the next ones, too: to find which pages are still needed all tables are read.
        while (excess := self._launcher.room(self.timeline) - int(budget * _FILLED)) > 0:
            timeline = self.timeline
            # Pages that others have, too, give no room back; so some are dropped, and then it is looked again.
            sizes = sum(snapshot.size for snapshot in timeline.snapshots)
            over = to_drop(timeline.snapshots, timeline.cost, timeline.end.icount, sizes - excess)
            droppable = [snapshot for snapshot in over if not self._launcher.in_use(snapshot)]
            if not droppable:
                return
            self.drop(*droppable)

    def close(self) -> None:
        """Drop the temporary snapshots, and write down the costs that were measured last."""
        try:
            self.drop(*(snapshot for snapshot in self.timeline.snapshots if snapshot.kind is SnapshotKind.LADDER))
            self._write()
        except (HostError, InUseError) as error:
            # What was kept last still holds; the temporary ones are removed when it is opened next.
            _log.warning("%s", error)

    def _write_now(self) -> None:
        try:
            self._write()
        except InUseError as error:
            _log.warning("What was found is kept later: %s", error)
        except HostError as error:
            self.no_more(error)

    def _write(self) -> None:
        if self._to_write:
            self._to_write.cancel()
            self._to_write = None
        began = time.monotonic()
        self.timeline = self._kept_timeline.save(self.timeline)
        self._wrote_for = time.monotonic() - began
