"""Take snapshots on the way, wherever a forward run passes through country that has none.

Snapshots are spaced by replay seconds, not by instructions: 20 million instructions of a Linux boot take 0.03 s or
3 s. A run is cut into pieces of about a tenth of a second, by what the timeline's cost map expects; when enough seconds
have passed since the last snapshot, the end of a piece gets one. What each piece took goes into the cost map, which so
learns what to expect of the next. Saving must pay: all of it together takes a fifth of the replay at most.

A piece that runs into slow country would take a hundred times longer than meant. It is then interrupted, and the
run goes on with a shorter one. (Arming a nearer replay breakpoint in a *running* QEMU is no way: the vCPU has its
share of instructions already, and QEMU asserts that it never finds itself behind the breakpoint.) A snapshot is
still only taken where a replay breakpoint stopped the guest.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

from rrdbg.engine.machines.source import Machines
from rrdbg.engine.machines.walk import Walker
from rrdbg.errors import HostError, ImageError, QemuDied, QmpError
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.links.unbroken import unbroken
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.cost import Piece
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.spacing import PROOF_SECONDS, TARGET_SECONDS, default_budget, rungs, to_drop
from rrdbg.model.travel.thrift import INDEXING_SHARE, SAVING_SHARE, Thrift
from rrdbg.store.kept_timeline import KeptTimeline
from rrdbg.store.sharing import InUseError
from rrdbg.store.timeline_file import unlink_snapshot

SPACING_SECONDS = TARGET_SECONDS / 2
"""Replay time after which the next snapshot is due; it is taken at the end of a piece, a little later."""

_MOST_SLOW = 8.0
"""How far from what was expected a piece is believed to be; of a measured stretch it is as expected."""

_TELLING_SECONDS = 0.01
"""What is to take less says nothing of how long what follows takes."""

_PIECES = 2.5
"""A piece of a run is at least this part of what lies between two snapshots."""

_CUT = 2.5
"""How much longer than meant a piece may take before it is interrupted."""

_SHORTEST_PIECE = 0.002
"""Seconds; each piece costs 1 ms more than what it replays."""

_LEAST_CUT = 0.05

_FILLED = 0.9
"""The part of the budget that is left full when it was used up."""

_WRITES_LATER = 20
"""How many times as long as the last writing of the timeline took the next one waits.

That is 20 ms for fifty snapshots, which each new one need not pay.
"""

MOST_AT_FIRST = 256 << 20
"""Bytes in use with which a guest may begin for the first snapshot of ours to be laid at once, which takes 0.1 s."""

WIDE_GAP = 1.5
"""Spacings that a gap must have to be parted."""

LONG_SECONDS = 1.5
"""A jump that replays so much leaves snapshots."""

MANY = 3
"""So many jumps through one gap, and it is worth the time to part it."""

_log = logging.getLogger(__name__)


class _TooSlow(Exception):
    """Raised inside a run to interrupt it."""


class Keeper:
    """Knows the timeline of one recording, and keeps its snapshots dense enough and within ``budget`` bytes.

    ``spacing`` is in seconds of replay; None is :data:`SPACING_SECONDS`, or more where saving would not pay. With
    ``digests``, each snapshot that :meth:`advance` takes or passes gets the
    checksum of the guest's state there, which only a machine that came from the start may give; ``on_snapshot`` is
    called with each of them, and a little later with one that has nothing but such a checksum, against which the one
    before can be proved.
    """

    def __init__(
        self,
        launcher: Machines,
        timeline: Timeline,
        spacing: float | None = None,
        budget: int | None = None,
        *,
        digests: bool = False,
        on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None,
    ) -> None:
        self._launcher = launcher
        self._spacing = spacing or SPACING_SECONDS
        self._must_pay = spacing is None
        self._budget = budget
        self._full = not launcher.writable
        self._thrift = Thrift(INDEXING_SHARE if digests else SAVING_SHARE)
        self._slowness = 1.0
        self._digests = digests
        self._on_snapshot = on_snapshot
        self._unproved = False
        self._witness: Snapshot | None = None
        self._visited: int | None = None
        self._passed = Counter[int]()
        self._writing: asyncio.Future[Snapshot] | None = None
        self._to_write: asyncio.TimerHandle | None = None
        self._wrote_for = 0.0
        self._fatal: set[int] = set()  # where a QEMU has died as it saved; the movement is made once more
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
    def _piece_seconds(self) -> float:
        return max(min(self._spacing, SPACING_SECONDS) / _PIECES, _SHORTEST_PIECE)

    @contextmanager
    def denser(self, spacing: float) -> Iterator[None]:
        """Have :meth:`advance` lay snapshots every ``spacing`` seconds meanwhile, whether that pays or not."""
        before = self._spacing, self._must_pay
        self._spacing, self._must_pay = spacing, False
        try:
            yield
        finally:
            self._spacing, self._must_pay = before

    @property
    def full(self) -> bool:
        """True if no more snapshots are taken, since they cannot be kept, or there was no room for one."""
        return self._full

    async def advance(
        self, walker: Walker, icount: int, on_progress: ProgressCallback | None, *, reverse: bool = False
    ) -> None:
        """Run ``walker``, which must have no breakpoints, to the plain ``icount``, leaving snapshots behind it.

        A snapshot is written while the guest goes on; all are there at the end.

        ``reverse`` tells that the user goes back inside one gap: the second time in a row, temporary snapshots are laid
        between the one before it and ``icount``, at doubling distances, so that the next steps back replay little.
        """
        ladder = self._ladder(walker.position.icount, icount) if reverse else []
        try:
            await self._run_on(walker, icount, ladder, on_progress)
        finally:
            await self._kept()

    async def _run_on(
        self, walker: Walker, icount: int, ladder: Sequence[int], on_progress: ProgressCallback | None
    ) -> None:
        if walker.position == START:
            await self._lay_first(walker, icount)
        whole = True
        while walker.position.icount < icount:
            here = walker.position.icount
            # Without snapshots to leave there is no reason to stop, and each stop costs 2 ms.
            goal = self._next_goal(here, icount, soon=not whole) if self._launcher.saves(walker) else icount
            rung = next((place for place in ladder if here < place <= goal), None)
            goal = rung or goal
            seconds, whole = await self._run(walker, goal, on_progress)
            self._learn(here, walker.position.icount, seconds)
            self._thrift.ran(seconds)
            if whole and goal < icount:
                await self._leave(walker, goal, rung=rung is not None)
            if on_progress:
                on_progress(walker.position.icount)

    async def _lay_first(self, walker: Walker, icount: int) -> None:
        """Lay one just behind the start, on the way to ``icount``.

        The recording's own is QEMU's, whole and in an image, and takes a process of its own to load, 90 ms in a guest
        of 8 MB; a blank becomes one of ours in 20 ms.
        """
        first = self.timeline.deliveries.plain_after(0)
        used = self._launcher.mapped_bytes(walker)
        if used is None or used > MOST_AT_FIRST or first >= icount or self.timeline.snapshot_at(first):
            return
        began = time.monotonic()
        await walker.run_to(first)
        self._measured(Piece(0, first, time.monotonic() - began))
        await self._begin(walker, SnapshotKind.PERIODIC)

    async def _leave(self, walker: Walker, icount: int, *, rung: bool) -> None:
        """Take a snapshot where ``walker`` stands if one is due there, or the checksum of one that is there."""
        known = self.timeline.snapshot_at(icount)
        due = known is None and self._due(icount)
        if self._unproved and not (known or due):
            await self._see(walker, icount)
        if self._writing and not (known or rung or self._writing.done()):
            return  # the end of the next piece is soon enough
        await self._kept()
        if known:
            if self._digests:
                checked = replace(known, digest=await self._launcher.digest(walker))
                self._keep(checked)
                self._on_snapshot(checked)
                self._unproved = self._launcher.mapped_bytes(walker) is not None
        elif due:
            await self._begin(walker, SnapshotKind.PERIODIC)
        elif rung:
            await self._begin(walker, SnapshotKind.LADDER)

    async def _see(self, walker: Walker, icount: int) -> None:
        """Note the state where ``walker`` stands, against which the snapshot before can be proved."""
        began, self._unproved = time.monotonic(), False
        self._witness = Snapshot(icount, "", SnapshotKind.PERIODIC, (), digest=await self._launcher.digest(walker))
        self._thrift.waited(time.monotonic() - began)

    def passes(self, low: int, high: int) -> bool:
        """Note that a jump goes from ``low`` to ``high``; True if it is to leave snapshots, if its machine can.

        It takes three times as long then. So the first ones through a gap that is not long leave none: most never come
        again, and while nothing moves the gap is parted anyway.
        """
        if self._full:
            return False
        places = [low, *(known.icount for known in self.timeline.snapshots if low < known.icount < high), high]
        seconds = self.timeline.cost.seconds
        lacks = any(seconds(one, two) >= self._spacing * WIDE_GAP for one, two in pairwise(places))
        if not lacks or not self._must_pay or seconds(low, high) >= LONG_SECONDS:
            return lacks
        self._passed[low] += 1
        return self._passed[low] >= MANY

    def lays_ladder(self, low: int, here: int) -> bool:
        """True if the next run in reverse from ``low`` to ``here`` would lay one, if its machine can be saved."""
        return low == self._visited and bool(self._rungs(low, here))

    @property
    def _pays(self) -> bool:
        """True if one more snapshot, which will cost about what the last did, is worth the time."""
        return not self._must_pay or self._thrift.seconds_to_earn <= 0

    def _due(self, icount: int) -> bool:
        """True if the replay from the snapshot before ``icount`` is long enough, and the gap wide enough to be parted.

        What was measured first counts, not what is measured now: a machine that is busy today would else lay
        snapshots, each at the price of half a gap, where there are enough.
        """
        before, after = self.timeline.nearest(icount), self.timeline.after(icount)
        low = before.icount if before else 0
        high = after.icount if after else self.timeline.end.icount
        seconds = self.timeline.cost.seconds
        wide = seconds(low, icount) >= self._spacing and seconds(low, high) >= self._spacing * WIDE_GAP
        return wide and self._pays

    async def save(self, walker: Walker, kind: SnapshotKind, name: str | None = None) -> Snapshot:
        """Save a snapshot where ``walker`` stands, a plain position, and keep it with the recording.

        :raises QmpError: QEMU cannot, or not now.
        """
        saved = await unbroken(self._save(walker, kind), walker.machine.close)
        named = replace(saved, name=name)
        self._keep(named, at_once=True)
        self._thin()
        return named

    async def _save(self, walker: Walker, kind: SnapshotKind) -> Snapshot:
        return await (await self._launcher.save(walker, kind, digest=self._digests))

    def adopt(self, snapshot: Snapshot, name: str | None) -> Snapshot:
        """Make a snapshot that is there already one of the user's."""
        adopted = replace(snapshot, kind=SnapshotKind.NAMED, name=name)
        self._keep(adopted, at_once=True)
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
            self._keep(replace(known, sound=True))

    def distrust(self, snapshot: Snapshot, why: str) -> None:
        """Do not load ``snapshot`` any more: one of ours is dropped, one of the user's stays, marked as unsound."""
        _log.warning("The snapshot at %s is not used any more: %s", f"{snapshot.icount:,}", why)
        if snapshot.kind is SnapshotKind.NAMED:
            self._keep(replace(snapshot, sound=False), at_once=True)
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

    def close(self) -> None:
        """Drop the temporary snapshots, and write down the costs that were measured last."""
        try:
            self.drop(*(snapshot for snapshot in self.timeline.snapshots if snapshot.kind is SnapshotKind.LADDER))
            self._write()
        except (HostError, InUseError) as error:
            # What was kept last still holds; the temporary ones are removed when it is opened next.
            _log.warning("%s", error)

    def _keep(self, snapshot: Snapshot, *, at_once: bool = False) -> None:
        self.timeline = self.timeline.with_snapshot(snapshot)
        if at_once:
            self._write()
        elif self._to_write is None:
            self._to_write = asyncio.get_running_loop().call_later(_WRITES_LATER * self._wrote_for, self._write_now)

    def _write_now(self) -> None:
        try:
            self._write()
        except InUseError as error:
            _log.warning("What was found is kept later: %s", error)
        except HostError as error:
            self._no_more(error)

    def _write(self) -> None:
        if self._to_write:
            self._to_write.cancel()
            self._to_write = None
        began = time.monotonic()
        self.timeline = self._kept_timeline.save(self.timeline)
        self._wrote_for = time.monotonic() - began

    def _no_more(self, error: Exception) -> None:
        # Snapshots only save time: without room for more, travel goes on with those there are.
        self._full = True
        _log.warning("No more snapshots are taken: %s", error)

    def _learn(self, here: int, reached: int, seconds: float) -> None:
        """A run from ``here`` has ``reached`` a place in so many seconds: what is near it will be as slow."""
        expected = self.timeline.cost.seconds(here, reached)
        if expected >= _TELLING_SECONDS:
            slowness = min(max(seconds / expected, 1 / _MOST_SLOW), _MOST_SLOW)
            self._slowness = (self._slowness + slowness) / 2
        self._measured(Piece(here, reached, seconds))

    def _measured(self, piece: Piece) -> None:
        self.timeline = replace(self.timeline, cost=self.timeline.cost.with_piece(piece))

    def _next_goal(self, here: int, icount: int, *, soon: bool) -> int:
        """Where the next piece from ``here`` to ``icount`` ends; as ``soon`` as can be where one was given up.

        Of a stretch that takes four times what was expected all pieces are, and without a place to stop at none of the
        89 of a Debian boot left a snapshot: there were gaps of 6 s.
        """
        seconds = min(self._until_due(here), PROOF_SECONDS) if self._unproved else self._until_due(here)
        goal = here + 1 if soon else self.timeline.cost.ahead(here, seconds / self._slowness, icount)
        while not self.timeline.deliveries.is_plain(goal):
            goal += 1
        goal = min(goal, icount)
        if self._digests and (known := self.timeline.after(here)):
            goal = min(goal, known.icount)
        return goal

    def _until_due(self, here: int) -> float:
        """Seconds of replay from ``here`` until a snapshot is due: each stop before that costs 10 ms for nothing."""
        before = self.timeline.nearest(here)
        since = self.timeline.cost.seconds(before.icount if before else 0, here)
        wanted = min(self._spacing - since, SPACING_SECONDS)
        if self._must_pay:
            wanted = max(wanted, min(self._thrift.seconds_to_earn, SPACING_SECONDS))
        return max(wanted, self._piece_seconds)

    async def _run(self, walker: Walker, goal: int, on_progress: ProgressCallback | None) -> tuple[float, bool]:
        """Run to ``goal``, or give up on the way if that takes too long; the seconds it took, and whether it arrived.

        After giving up only the icount of the walker is known, and it must be run on.
        """
        began, start = time.monotonic(), walker.position.icount
        stops = self._launcher.saves(walker)
        cut = max(_CUT * self._until_due(start), _LEAST_CUT)

        def watch(icount: int) -> None:
            if on_progress:
                on_progress(icount)
            # A guest that does not move at all is not slow: it is for the machine's own watchdog to say so.
            if stops and icount > start and time.monotonic() - began > cut:
                raise _TooSlow

        arrived = True
        try:
            await walker.run_to(goal, watch)
        except _TooSlow:
            walker.position = Position(await walker.machine.icount())
            arrived = False
        return max(time.monotonic() - began, 1e-4), arrived

    def _ladder(self, low: int, here: int) -> list[int]:
        places = self._rungs(low, here) if low == self._visited else []
        self._visited = low
        return places

    def _rungs(self, low: int, here: int) -> list[int]:
        if self._full:
            return []
        plain = self.timeline.deliveries.plain_at_or_before
        places = {plain(place) for place in rungs(self.timeline.cost, low, here)}
        return sorted(place for place in places if low < place < here)

    @property
    def _crowded(self) -> bool:
        """True if there is no room for more snapshots, and none may be dropped, since others work with them."""
        with self._launcher.recording.others_absent() as alone:
            return not alone and self._launcher.room(self.timeline) > self.budget

    async def _begin(self, walker: Walker, kind: SnapshotKind) -> None:
        """Save a snapshot where ``walker`` stands, if that can be; it is written while the guest goes on."""
        icount = walker.position.icount
        if self._full or icount in self._fatal or self._crowded or not self._launcher.saves(walker):
            return
        began = time.monotonic()
        try:
            await unbroken(self._take(walker, kind), walker.machine.close)
        except SnapshotNotNow:
            return
        except QemuDied:
            self._fatal.add(icount)
            raise
        except (QmpError, ImageError, HostError, OSError) as error:
            self._no_more(error)
            return
        self._thrift.saved(time.monotonic() - began)
        # Of RAM that is not mapped a checksum takes 0.3 s: the next snapshot has one.
        self._unproved = self._digests and self._launcher.mapped_bytes(walker) is not None

    async def _take(self, walker: Walker, kind: SnapshotKind) -> None:
        # Known before a cancellation is told: what is being written needs the machine's folder, which ends with it.
        self._writing = asyncio.ensure_future(await self._launcher.save(walker, kind, digest=self._digests))

    async def _kept(self) -> None:
        """Wait until the snapshot that is being written is there, if there is one, and list it."""
        await self._written()
        if witness := self._witness:
            self._witness = None
            self._on_snapshot(witness)

    async def _written(self) -> None:
        if self._writing is None:
            return
        writing, began = self._writing, time.monotonic()
        try:
            await unbroken(asyncio.wait((writing,)))
        finally:
            self._writing = None
            self._thrift.waited(time.monotonic() - began)
            try:
                self._keep(writing.result())
            except (QmpError, ImageError, HostError, InUseError, OSError) as error:
                self._no_more(error)
            else:
                self._on_snapshot(writing.result())
                self._thin()

    def _thin(self) -> None:
        """Drop what is over the budget, but for snapshots that a machine stands on."""
        budget = self.budget
        if self._launcher.room(self.timeline) <= budget or self._crowded:
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
