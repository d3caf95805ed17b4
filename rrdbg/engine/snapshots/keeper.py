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
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

from rrdbg.engine.machines.source import Machines
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import HostError, ImageError, QemuDied, QmpError
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.links.unbroken import unbroken
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.timeline.cost import Piece
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.spacing import PROOF_SECONDS, TARGET_SECONDS, rungs
from rrdbg.model.travel.thrift import INDEXING_SHARE, SAVING_SHARE, Thrift
from rrdbg.store.sharing import InUseError

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

MOST_AT_FIRST = 256 << 20
"""Bytes in use with which a guest may begin for the first snapshot of ours to be laid at once, which takes 0.1 s."""

WIDE_GAP = 1.5
"""Spacings that a gap must have to be parted."""

LONG_SECONDS = 1.5
"""A jump that replays so much leaves snapshots."""

MANY = 3
"""So many jumps through one gap, and it is worth the time to part it."""


class _TooSlow(Exception):
    """Raised inside a run to interrupt it."""


class Keeper:
    """Keeps the snapshots on the ``shelf`` of one recording dense enough.

    ``spacing`` is in seconds of replay; None is :data:`SPACING_SECONDS`, or more where saving would not pay. With
    ``digests``, each snapshot that :meth:`advance` takes or passes gets the
    checksum of the guest's state there, which only a machine that came from the start may give; ``on_snapshot`` is
    called with each of them, and a little later with one that has nothing but such a checksum, against which the one
    before can be proved.
    """

    def __init__(
        self,
        launcher: Machines,
        shelf: Shelf,
        spacing: float | None = None,
        *,
        digests: bool = False,
        on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None,
    ) -> None:
        self.shelf = shelf
        """What the recording has."""
        self._launcher = launcher
        self._spacing = spacing or SPACING_SECONDS
        self._must_pay = spacing is None
        self._thrift = Thrift(INDEXING_SHARE if digests else SAVING_SHARE)
        self._slowness = 1.0
        self._digests = digests
        self._on_snapshot = on_snapshot
        self._unproved = False
        self._witness: Snapshot | None = None
        self._visited: int | None = None
        self._passed = Counter[int]()
        self._writing: asyncio.Future[Snapshot] | None = None
        self._fatal: set[int] = set()  # where a QEMU has died as it saved; the movement is made once more

    @property
    def timeline(self) -> Timeline:
        """The recording's timeline, as the shelf has it."""
        return self.shelf.timeline

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
        self.shelf.measured(Piece(0, first, time.monotonic() - began))
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
                self.shelf.keep(checked)
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
        if self.shelf.full:
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
        self.shelf.keep(named, at_once=True)
        self.shelf.thin()
        return named

    async def _save(self, walker: Walker, kind: SnapshotKind) -> Snapshot:
        return await (await self._launcher.save(walker, kind, digest=self._digests))

    def _learn(self, here: int, reached: int, seconds: float) -> None:
        """A run from ``here`` has ``reached`` a place in so many seconds: what is near it will be as slow."""
        expected = self.timeline.cost.seconds(here, reached)
        if expected >= _TELLING_SECONDS:
            slowness = min(max(seconds / expected, 1 / _MOST_SLOW), _MOST_SLOW)
            self._slowness = (self._slowness + slowness) / 2
        self.shelf.measured(Piece(here, reached, seconds))

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
        if self.shelf.full:
            return []
        plain = self.timeline.deliveries.plain_at_or_before
        places = {plain(place) for place in rungs(self.timeline.cost, low, here)}
        return sorted(place for place in places if low < place < here)

    async def _begin(self, walker: Walker, kind: SnapshotKind) -> None:
        """Save a snapshot where ``walker`` stands, if that can be; it is written while the guest goes on."""
        icount = walker.position.icount
        if self.shelf.full or icount in self._fatal or self.shelf.crowded or not self._launcher.saves(walker):
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
            self.shelf.no_more(error)
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
                self.shelf.keep(writing.result())
            except (QmpError, ImageError, HostError, InUseError, OSError) as error:
                self.shelf.no_more(error)
            else:
                self._on_snapshot(writing.result())
                self.shelf.thin()
