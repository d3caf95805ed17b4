"""One replay from start to end that leaves snapshots, measured costs and proofs in the recording.

A snapshot is *proved* by a new process that loads it, runs on a little, at most to the next one, and arrives there with
the registers and RAM that the pass itself had. Proofs run beside the pass, on the processors that it leaves free. A
snapshot that fails is dropped and reported; a recording whose initial snapshot fails does not replay at all.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.snapshots.conversion import convert
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.prover import failure, prove_next
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import Divergence, QemuDied, RecordingError
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import clean, load_timeline

_BASE_SHARE = 0.4
"""How far the pass has come when the base image is made."""

_BLANKS = 2
"""Machines that wait for the next proofs, while others go on: starting one takes 50 ms."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far an index pass is: where, which share (0 to 1), seconds so far and to go, snapshots kept and proved."""

    icount: int
    share: float
    seconds: float
    eta_seconds: float
    snapshots: int
    proved: int


@dataclass(frozen=True, slots=True)
class Unsound:
    """A snapshot that failed its proof, and how."""

    snapshot: Snapshot
    reason: str


@dataclass(frozen=True, slots=True)
class Indexed:
    """What an index pass left: seconds in all and of the pass alone, the snapshots and their bytes, the failures."""

    seconds: float
    pass_seconds: float
    snapshots: int
    proved: int
    size: int
    unsound: tuple[Unsound, ...]


IndexListener = Callable[[IndexProgress], None]


class Indexer:
    """An index pass over an opened, writable recording."""

    def __init__(
        self,
        launcher: Launcher,
        timeline: Timeline,
        *,
        budget: int | None = None,
        spacing: float | None = None,
        prove: bool = True,
        on_progress: IndexListener = lambda progress: None,
    ) -> None:
        self._launcher = launcher
        self._on_progress = on_progress
        self._prove = prove
        self._passed: asyncio.Queue[Snapshot | None] = asyncio.Queue()
        self._unsound: list[Unsound] = []
        self._proved = 0
        self._told = 0.0
        self._expected = timeline.cost
        # What is measured now replaces what was: an older map may come from a busier machine.
        fresh = replace(timeline, cost=timeline.cost.forgotten())
        self.keeper = Keeper(
            launcher, Shelf(launcher, fresh, budget), spacing, digests=prove, on_snapshot=self._passed.put_nowait
        )  # fmt: skip

    async def run(self) -> Indexed:
        """Index; what was made is kept if this is cancelled. Snapshots that QEMU loads whole become mapped ones first.

        :raises Divergence: the recording itself does not replay.
        """
        began = time.monotonic()
        await convert(self._launcher, self.keeper)
        if self._prove:
            self._launcher.keep_stocked(_BLANKS)
        prover = asyncio.create_task(self._prove_all()) if self._prove else None
        try:
            passing = asyncio.create_task(self._pass(began))
            running = {passing, prover} if prover else {passing}
            try:
                await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
                pass_seconds = await passing if passing.done() else 0.0
                if prover:
                    await prover
                    await self._prove_rest()
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        finally:
            self.keeper.shelf.close()
        await self._launcher.settle(self.keeper.timeline)
        snapshots = self.keeper.timeline.snapshots
        return Indexed(
            seconds=time.monotonic() - began,
            pass_seconds=pass_seconds,
            snapshots=len(snapshots),
            proved=sum(bool(snapshot.sound) for snapshot in snapshots),
            size=self._launcher.room(self.keeper.timeline),
            unsound=tuple(self._unsound),
        )

    async def _pass(self, began: float) -> float:
        try:
            return await self._pass_once(began)
        except QemuDied as error:
            # From the start: only a machine that came from there gives checksums that prove anything.
            _log.warning("%s The pass begins anew.", error)
            return await self._pass_once(began)

    async def _pass_once(self, began: float) -> float:
        keeper = self.keeper
        end = keeper.timeline.end.icount
        walker, seconds = await self._launcher.start(keeper.timeline.snapshots[0], keeper.timeline, saving=True)
        keeper.shelf.loaded(keeper.timeline.snapshots[0], seconds)
        try:
            await keeper.advance(walker, end, lambda icount: self._tell(icount, began))
            if self._prove:
                last = Snapshot(end, "", SnapshotKind.PERIODIC, (), digest=await self._launcher.digest(walker))
                self._passed.put_nowait(last)
            self._passed.put_nowait(None)
        finally:
            await walker.machine.close()
        return time.monotonic() - began

    async def _prove_all(self) -> None:
        """Prove each snapshot against the next position that the pass has come by."""
        pairs = asyncio.Queue[tuple[Snapshot, Snapshot] | None]()
        processors = len(os.sched_getaffinity(0))
        try:
            async with asyncio.TaskGroup() as provers:
                for _ in range(max(processors - 1, 1)):
                    provers.create_task(self._prove_pairs(pairs))
                await self._pair(pairs)
                # The pass is over, and has left its processor.
                provers.create_task(self._prove_pairs(pairs))
                for _ in range(max(processors, 2)):
                    pairs.put_nowait(None)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _prove_pairs(self, pairs: asyncio.Queue[tuple[Snapshot, Snapshot] | None]) -> None:
        while pair := await pairs.get():
            await self._prove_one(*pair)

    async def _pair(self, pairs: asyncio.Queue[tuple[Snapshot, Snapshot] | None]) -> None:
        """Put into ``pairs`` what is to be proved, each with what the pass has come by next."""
        waiting: list[Snapshot] = [self.keeper.timeline.snapshots[0]]
        based = False
        while (reached := await self._passed.get()) is not None:
            assert reached.digest is not None
            if not based and self._told > _BASE_SHARE:
                # What is in the middle is near to most; proofs are quicker, too, where they map it.
                based = True
                await self._launcher.settle(self.keeper.timeline)
            for snapshot in waiting:
                if snapshot.icount < reached.icount:  # else the pass has begun anew
                    pairs.put_nowait((snapshot, reached))
            waiting = [reached] if reached.files else []

    async def _prove_rest(self) -> None:
        """Prove what the pass has come by without a stop; it may have been interrupted just there."""
        while await prove_next(self._launcher, self.keeper.shelf):
            self._proved = sum(bool(snapshot.sound) for snapshot in self.keeper.timeline.snapshots)

    async def _prove_one(self, snapshot: Snapshot, reached: Snapshot) -> None:
        assert reached.digest is not None
        listed = self.keeper.timeline.snapshot_at(snapshot.icount)
        if listed is None or listed.files != snapshot.files:
            return  # thinned out meanwhile
        why = await failure(self._launcher, self.keeper.timeline, snapshot, reached.icount, reached.digest)
        if self.keeper.timeline.snapshot_at(snapshot.icount) is None:
            return
        if why is None:
            self.keeper.shelf.proved(snapshot)
            self._proved += 1
        elif snapshot.kind is SnapshotKind.INITIAL:
            raise Divergence(f"The recording does not replay twice the same way: {why}. Record again.")
        else:
            self.keeper.shelf.distrust(listed, why)
            self._unsound.append(Unsound(snapshot, why))

    def _tell(self, icount: int, began: float) -> None:
        end = self.keeper.timeline.end.icount
        seconds = time.monotonic() - began
        # What is still to come may turn out to be longer than it was thought; a bar does not go back for that.
        share = self._told = max(self._told, self._share(icount, end))
        eta = seconds * (1 - share) / share if share else 0.0
        count = len(self.keeper.timeline.snapshots)
        self._on_progress(IndexProgress(icount, share, seconds, eta, count, self._proved))

    def _share(self, icount: int, end: int) -> float:
        """The share of the replay's *time* that is done, by what an earlier pass measured, if one did."""
        cost = self._expected if self._expected.measured else self.keeper.timeline.cost
        whole = cost.seconds(0, end)
        return min(cost.seconds(0, icount) / whole, 1.0) if whole else 0.0


async def index(
    path: Path,
    *,
    budget: int | None = None,
    spacing: float | None = None,
    prove: bool = True,
    on_progress: IndexListener = lambda progress: None,
) -> Indexed:
    """Index the recording at ``path``; ``budget`` in bytes for all its snapshots, None for the default.

    Cancelling keeps what was made until then.

    :raises RecordingError: it cannot be used, or not be written to.
    :raises Divergence: it does not replay.
    :raises QmpError: snapshots cannot be proved here; ``prove=False`` goes without.
    """
    recording = await asyncio.to_thread(Recording.open, path)
    with recording:
        if not recording.writable:
            raise RecordingError(f"{path} is read-only; an index cannot be kept in it. Index a copy.")
        timeline = clean(recording, load_timeline(recording))
        recording.let_others_in()
        launcher = await Launcher.create(recording)
        try:
            indexer = Indexer(
                launcher, timeline, budget=budget, spacing=spacing, prove=prove, on_progress=on_progress
            )  # fmt: skip
            return await indexer.run()
        finally:
            await launcher.close()
