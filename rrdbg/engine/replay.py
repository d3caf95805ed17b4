"""Replay: a recording with a cursor that moves in both directions.

The cursor is a position, and usually a machine that stands there. Searches backwards run in machines of
their own while the cursor's machine waits, so a search that is cancelled, or whose QEMU dies, leaves the
cursor where it was. Invariant: between calls :attr:`Replay.position` is exact; a machine that broke or was
left at an unknown place is dropped and started again when it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence, Set
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.machines.again import again
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.progress import Progress, ProgressListener
from rrdbg.engine.machines.source import Machines
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.hits import Hits
from rrdbg.engine.search.mappings import Mappings
from rrdbg.engine.search.parallel.executor import Executor
from rrdbg.engine.search.parallel.searches import Parallel
from rrdbg.engine.search.scan import Accept
from rrdbg.engine.search.watch import watched_step
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.prover import prove_next
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.engine.travel.cursor import Cursor, Steps
from rrdbg.engine.travel.driver import TRIES
from rrdbg.engine.travel.finder import Finder
from rrdbg.engine.travel.landing import WORTH_A_RUN, steps_ahead
from rrdbg.engine.travel.points import PointList
from rrdbg.engine.travel.reads import Reads
from rrdbg.engine.travel.spaces import P, Spaces
from rrdbg.errors import LinkError, OutOfRange, Overshot, UsageError
from rrdbg.links.address_space import space_in_use
from rrdbg.links.machine import Machine
from rrdbg.links.memory import proportional
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.stop import Hit, Point, Stop, StopReason, Watchpoint
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.line import STOPS, Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.process import ProcessInfo, Role, SpareLimits
from rrdbg.store.clients import Presence
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import clean, load_timeline

BLANKS = 2
"""QEMUs that wait to become a snapshot, where machines may be started ahead: one for a search, one for its end."""

T = TypeVar("T")

_RETREATS = (0, 1_000, 10_000, 100_000, 1_000_000)
"""Instructions to go back where QEMU cannot save since a disk request is under way."""


class Replay:
    """An opened recording; make it with :meth:`open`, end it with :meth:`close`.

    ``walker`` is a machine that stands where the cursor is to begin, if there is one already; at most ``spares`` more
    wait for the next movement. ``parallel`` searches with several workers.
    """

    def __init__(
        self,
        recording: Recording,
        launcher: Machines,
        keeper: Keeper,
        walker: Walker | None = None,
        spares: int = 0,
        parallel: Parallel | None = None,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.recording = recording
        self.on_progress: ProgressListener = lambda progress: None
        self.reports = 0
        """How often it was told how far a movement is: who waits for one sees that it gets on."""
        self._launcher = launcher
        self._keeper = keeper
        self._parallel = parallel
        self._cursor = Cursor(launcher, keeper, self._report, walker, spares)
        self._reads = Reads(self._cursor, single=launcher.single)
        self.accelerator = accelerator or Accelerator(None, "this QEMU was started without its plugin")
        """What finds very many hits without stopping at each, if it can be used."""
        self.presence: Presence | None = None
        """What tells other sessions in this recording of this one, and this one of them; None where it is alone."""
        self.last_steps: Steps | None = None
        """Makes the last steps of a jump, for somebody who wants to see them."""
        self.spaces = Spaces()
        """Which address spaces watchpoints mean."""
        self.points = PointList()
        """The breakpoints and watchpoints that are set."""
        self.hits = Hits(recording, lambda: self.timeline.cost)
        """What was found already."""
        mappings = Mappings(self.accelerator, self._report)
        self._finder = Finder(
            self._cursor, self.hits, self._report, parallel, self.accelerator, mappings, recording.layout.log,
            single=launcher.single,
        )  # fmt: skip

    @classmethod
    async def open(
        cls,
        path: Path,
        spacing: float | None = None,
        budget: int | None = None,
        *,
        spares: int = 0,
        executor: Executor | None = None,
        client: str = "rrdbg",
    ) -> Replay:
        """Open the recording at ``path``, with the cursor at its start.

        Snapshots are laid every ``spacing`` seconds of replay (None: as often as that pays) and take at most ``budget``
        bytes (None: a tenth of the free space). While nothing moves at most ``spares`` machines are started ahead of
        the next movement, in a tenth of the free memory. ``executor`` shares long searches out among workers; it ends
        with the replay. Other sessions in this recording see this one as ``client``.

        :raises RecordingError: it cannot be used.
        :raises QemuLaunchError: its QEMU is missing.
        """
        with interrupted_at(lambda: START, "the recording was being opened"):
            recording = await asyncio.to_thread(partial(Recording.open, path, beside=True))
            try:
                timeline = clean(recording, load_timeline(recording))
                recording.let_others_in()
                launcher = await Launcher.create(recording)
                launcher.keep_stocked(BLANKS if spares else 0)
            except BaseException:
                recording.close()
                raise
        replay = cls(
            recording,
            launcher,
            Keeper(launcher, Shelf(launcher, timeline, budget), spacing),
            spares=spares,
            parallel=Parallel(launcher, executor) if executor else None,
            accelerator=Accelerator.of(launcher),
        )
        replay.presence = Presence(recording.layout.root, client)
        replay._cursor.on_rest = replay.presence.moved
        return replay

    async def close(self) -> None:
        """End every QEMU and let the recording go."""
        try:
            if self._parallel:
                await self._parallel.close()
            await self._cursor.close()
            self._keeper.shelf.close()
            self.hits.close()
            await self._launcher.settle(self.timeline)
        finally:
            if self.presence:
                self.presence.close()
            await self._launcher.close()
            self.recording.close()

    async def __aenter__(self) -> Replay:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def confinement(self) -> Sequence[str]:
        """What the QEMUs that replay give up, and what not, each as a sentence without its stop."""
        return self._launcher.confinement

    @property
    def position(self) -> Position:
        """Where the cursor is."""
        return self._cursor.position

    @property
    def moving(self) -> bool:
        """True during a movement, whose task may be cancelled; at other times it must not be."""
        return self._cursor.moves > 0

    @property
    def lost(self) -> bool:
        """True if no movement will succeed any more, since there is no QEMU, and there will be none."""
        return self._launcher.lost

    @property
    def replaces_qemu(self) -> bool:
        """True if a QEMU that has died is replaced by a new one."""
        return not self._launcher.single

    @property
    def timeline(self) -> Timeline:
        """The recording's timeline, as far as it is known; for what others have found meanwhile :meth:`catch_up`."""
        return self._keeper.timeline

    def catch_up(self) -> None:
        """Take up what other sessions have found in the recording, as each movement does as it begins."""
        if not self._cursor.moves:
            self._keeper.shelf.catch_up()

    @property
    def processes(self) -> tuple[ProcessInfo, ...]:
        """The QEMUs that run now, the oldest first, and behind them those that wait."""
        now = time.monotonic()
        running = tuple(
            ProcessInfo(
                pid := known.walker.machine.process.pid, self._cursor.role(known), known.walker.position,
                proportional(pid), now - known.since,
            )
            for known in self._launcher.running
        )  # fmt: skip
        return running + tuple(
            ProcessInfo(blank.pid, Role.BLANK, None, proportional(blank.pid), now - blank.since)
            for blank in self._launcher.waiting
        )

    @property
    def snapshot_room(self) -> tuple[int, int]:
        """How many bytes the snapshots take, and how many they may."""
        return self._launcher.room(self.timeline), self._keeper.shelf.budget

    async def spares_ready(self) -> None:
        """Wait until the machines are there that the next movement will probably need."""
        await self._cursor.spares.ready()

    async def at_rest(self) -> None:
        """Wait until all is done that is done while nothing moves: spares, proofs, denser snapshots."""
        await self._cursor.idle.done()

    @property
    def spare_limits(self) -> SpareLimits:
        """How many machines may wait for the next movement, and in how much memory."""
        return self._cursor.spares.limits

    def still(self) -> AbstractAsyncContextManager[None]:
        """Work goes on inside that may be cancelled, and leaves the cursor where it is."""
        return self._cursor.moving()

    @again
    async def seek(self, target: Position) -> Stop:
        """Move the cursor to ``target``.

        :raises OutOfRange: it is not on the timeline.
        """
        if not START <= target <= self.timeline.end:
            raise OutOfRange(f"Position {target} is outside the recording, which ends at {self.timeline.end}.")
        async with self._cursor.moving():
            if self.last_steps:
                await self._cursor.go_watched(target, self.last_steps)
            else:
                await self._cursor.go(target)
            return await self._stop(StopReason.TARGET)

    @again
    async def stepi(self, count: int = 1) -> Stop:
        """Execute ``count`` instructions (a delivery of an interrupt counts as one)."""
        async with self._cursor.moving():
            while count > 0:
                plain = steps_ahead(self.timeline, self._cursor.position, count)
                if plain >= WORTH_A_RUN:
                    await self._cursor.go(Position(self._cursor.position.icount + plain))
                    count -= plain
                    continue
                walker = await self._cursor.walker()
                if walker.position >= self.timeline.end:
                    return await self._stop(StopReason.END)
                step = await walker.step()
                self._cursor.position = step.after
                if step.missed:
                    await self._cursor.go(step.missed)
                count -= 1
            return await self._stop(StopReason.STEP)

    @again
    async def reverse_stepi(self, count: int = 1) -> Stop:
        """Go back by ``count`` of what :meth:`stepi` goes forward."""
        async with self._cursor.moving():
            target = self._cursor.position
            for _ in range(count):
                if target == START:
                    break
                target = await self._finder.before(target)
            exhausted = target == START and self._cursor.position == START
            await self._cursor.go(target)
            return await self._stop(StopReason.START if exhausted else StopReason.STEP)

    @again
    async def step_watching(self, points: Sequence[Watchpoint]) -> Stop:
        """Like one :meth:`stepi`, telling also which of ``points`` the step accessed."""
        points = await self.meant_here(points)
        async with self._cursor.moving():
            walker = await self._cursor.walker()
            if walker.position >= self.timeline.end:
                return await self._stop(StopReason.END)
            step, hits = await watched_step(walker, points, self.recording.layout.log)
            self._cursor.position = walker.position
            if step.missed:
                await self._cursor.go(step.missed)
            return await self._hit_stop(hits[0]) if hits else await self._stop(StopReason.STEP)

    @property
    def machine_position(self) -> Position | None:
        """Where the cursor's machine stands, if there is one; not always at the cursor, see :meth:`place`."""
        return self._cursor.machine_position

    @property
    def held(self) -> str | None:
        """What whoever tries to move the cursor is told; None if it may move."""
        return self._cursor.held

    def hold(self, why: str | None) -> None:
        """Keep the cursor where it is (None: let it go); ``why`` is what whoever tries to move it is told."""
        self._cursor.held = why

    def place(self, position: Position) -> None:
        """Put the cursor on ``position``, which must be known to exist; the machine follows when it is needed."""
        self._cursor.position = position
        self._cursor.on_rest(position)

    async def start_at(self, icount: int) -> Walker:
        """A machine of its own at the plain ``icount``; the caller closes it."""
        return await self._cursor.start_at(icount)

    @again
    async def visit(self, position: Position, look: Callable[[Walker], Awaitable[T]]) -> T:
        """What ``look`` makes of a machine at or just before ``position``, which it may walk on; the cursor stays."""
        async with self._cursor.moving():
            walker = await self._cursor.start_at(self.timeline.deliveries.plain_at_or_before(position.icount))
            try:
                found = await look(walker)
            except BaseException:
                await walker.machine.close()
                raise
            await self._cursor.leave(walker)
            return found

    @again
    async def approach(self, base: int, visit: Callable[[Walker], Awaitable[None]]) -> None:
        """Go to the cursor once more, from the plain icount ``base`` before it, in single steps made by ``visit``.

        ``visit`` is given a walker at ``base`` and must step it to the cursor; it then is the cursor's machine. If that
        dies on the way, ``visit`` is given another one.
        """
        async with self._cursor.moving():
            walker = await self._cursor.start_at(base)
            try:
                for _ in range(TRIES):
                    with contextlib.suppress(Overshot):
                        await visit(walker)
                        break
                    await walker.machine.close()
                    walker = await self._cursor.start_at(base)
                else:
                    await visit(walker)
                if walker.position != self._cursor.position:
                    raise LinkError(f"The walk to {self._cursor.position} ended at {walker.position}.")
            except BaseException:
                await walker.machine.close()
                raise
            await self._cursor.adopt(walker)

    @again
    async def cont(self, extra: Sequence[Point] = (), accept: Accept | None = None) -> Stop:
        """Run forward to the next hit of a breakpoint or watchpoint, or to the end.

        ``extra`` are points for this time only, numbered below zero; ``accept`` judges breakpoints' conditions.
        """
        points = await self._all_meant_here((*self.points, *extra))
        async with self._cursor.moving():
            if points and (first := await self._finder.go_to_first(points, accept)):
                return await self._hit_stop(first)
            await self._cursor.go(self.timeline.end)
            return await self._stop(StopReason.END)

    @again
    async def reverse_cont(self, extra: Sequence[Point] = (), accept: Accept | None = None) -> Stop:
        """Go back to the last hit before the cursor, or to the start.

        A breakpoint's hit is its instruction, about to be executed; a watchpoint's is the instruction that
        makes the access, about to be executed, so that the value there is the old one. ``extra`` and ``accept``
        are as for :meth:`cont`.
        """
        points = await self._all_meant_here((*self.points, *extra))
        async with self._cursor.moving():
            last = await self._finder.last(self._cursor.position, points, accept)
            if last is None:
                await self._cursor.go(START)
                return await self._stop(StopReason.START)
            target, hit = last
            await self._cursor.go(target)
            return await self._hit_stop(hit)

    @again
    async def meant_here(self, points: Sequence[P]) -> tuple[P, ...]:
        """``points`` of a movement, of which watchpoints belong to an address space, see :class:`Spaces`."""
        machine = await self.machine() if self.spaces.unbound(points) else None
        return await self.spaces.meant(machine, points)

    @again
    async def bound_here(self, points: Sequence[P]) -> tuple[P, ...]:
        """``points`` of a question, of which watchpoints belong to the address space at the cursor."""
        return await self.spaces.bound(await self.machine(), points)

    @again
    async def space_of(self, address: int) -> AddressSpace | None:
        """The address space at the cursor; None if ``address`` means the same in all."""
        return await self.spaces.here(await self.machine(), address)

    @again
    async def space_in_use(self) -> int | None:
        """The root of the page tables that processes' addresses mean at the cursor; None where there are none."""
        return await space_in_use(await self.machine())

    @again
    async def begun(self, space: AddressSpace) -> Position:
        """Where the address space at the cursor has begun, as far back as is known."""
        async with self._cursor.moving():
            return await self._finder.begun(space)

    @again
    async def elsewhere(self) -> int:
        """How many hits the last search has left out, since they were in other address spaces."""
        async with self._cursor.moving():
            return await self._finder.elsewhere()

    @again
    async def last_before(
        self, here: Position, points: Sequence[Point], accept: Accept | None = None
    ) -> tuple[Position, Hit] | None:
        """Where :meth:`reverse_cont` would stop from ``here`` on with ``points`` set, and at what; the cursor stays."""
        async with self._cursor.moving():
            return await self._finder.last(here, points, accept)

    @again
    async def before(self, position: Position) -> Position:
        """The stop that a single-stepper makes just before ``position``."""
        async with self._cursor.moving():
            return await self._finder.before(position)

    async def scan(
        self,
        points: Sequence[Point],
        start: Position,
        end: Position,
        accept: Accept | None = None,
        *,
        foreign: bool = False,
    ) -> AsyncGenerator[Hit, None]:
        """Every hit of ``points`` from ``start`` up to ``end``, in order, found in another machine; the cursor stays.

        A breakpoint counts at ``start`` and not at ``end``, a watchpoint's access the other way round. The position of
        a hit that is not ``exact`` may be too early by a phase. Where there is a single QEMU, no hit is given before
        all are found, since whoever gets one may need the machine; but with ``accept`` they are, and he must not.
        ``foreign`` hits are those in other address spaces than their points mean: they are given and marked, or left
        out and counted (:meth:`elsewhere`).
        """
        found = self._finder.all(points, start, end, accept, foreign=foreign)
        async with self._cursor.moving(), aclosing(found) as hits:
            async for hit in hits:
                yield hit

    @again
    async def registers(self) -> dict[str, int]:
        """The registers at the cursor, by name."""
        return await (await self._cursor.walker()).machine.registers()

    @again
    async def pc(self) -> int:
        """The linear address of the next instruction at the cursor."""
        return await (await self._cursor.walker()).machine.pc()

    @again
    async def read_memory(self, address: int, length: int) -> bytes:
        """Read guest memory at the cursor, at a virtual address.

        :raises RspError: it is not mapped there.
        """
        return await self._reads.virtual(address, length)

    @again
    async def read_physical(self, address: int, length: int) -> bytes:
        """Read guest memory at the cursor, at a physical address.

        :raises RspError: there is none.
        """
        return await self._reads.physical(address, length)

    @property
    def device_pages(self) -> Set[int]:
        """The numbers of pages of 4 KiB at which a read has met a device, which changes by that."""
        return self._reads.device_pages

    @again
    async def disassemble(self, address: int, count: int) -> list[tuple[int, str]]:
        """``count`` instructions from a virtual address, as (address, text)."""
        return await (await self._cursor.walker()).machine.disassemble(address, count)

    @again
    async def machine(self) -> Machine:
        """The machine at the cursor, to be read from only."""
        return (await self._cursor.walker()).machine

    async def snapshot(self, name: str | None = None) -> Snapshot:
        """Keep a snapshot at the cursor, or at the nearest plain icount before it.

        :raises UsageError: no snapshot can be kept here, or one has that name.
        """
        self._launcher.check_writable()
        if name and any(known.name == name for known in self.timeline.snapshots):
            raise UsageError(f"There is a snapshot {name!r} already; choose another name.")
        icount = self.timeline.deliveries.plain_at_or_before(self._cursor.position.icount)
        known = self.timeline.snapshot_at(icount)
        if known and known.kind is not SnapshotKind.INITIAL:
            return self._keeper.shelf.adopt(known, name)
        async with self._cursor.moving():
            origin = self._cursor.position
            try:
                return await self._save_at_or_before(icount, name)
            finally:
                await self._cursor.go(origin)

    @again
    async def _save_at_or_before(self, icount: int, name: str | None) -> Snapshot:
        """Save at ``icount``, or as near before it as QEMU's event queue allows."""
        plain = self.timeline.deliveries.plain_at_or_before
        for distance in _RETREATS:
            place = Position(plain(max(icount - distance, 0)))
            if self._cursor.position != place:
                await self._cursor.go(place)
            try:
                return await self._keeper.save(await self._cursor.to_save(), SnapshotKind.NAMED, name)
            except SnapshotNotNow as error:
                refusal = error
        raise refusal

    @again
    async def branch(self) -> Machine:
        """A machine that goes on from the cursor by itself, whatever the log says; the caller closes it.

        What happens in it does not touch the recording or the cursor.

        :raises SnapshotNotNow: QEMU cannot save its state at the cursor.
        :raises UsageError: there can be no second machine.
        """
        return await self._launcher.branch(await self._cursor.walker())

    @again
    async def state(self) -> bytes:
        """All of the machine's state at the cursor, RAM included, as another QEMU takes it.

        :raises SnapshotNotNow: QEMU cannot save it there.
        :raises UsageError: it cannot be saved at all.
        """
        return await self._launcher.state(await self._cursor.walker())

    async def prove_next(self) -> bool:
        """Prove one more snapshot by a process of its own, while nobody moves; False when no more can be.

        May be cancelled at any moment.

        :raises LinkError: snapshots cannot be proved here.
        """
        await self._cursor.idle.stop()
        return not self._launcher.single and await prove_next(self._launcher, self._keeper.shelf)

    def mark(self, name: str, position: Position, text: str) -> None:
        """Note what was found at a position, to be seen on the timeline under ``name``."""
        self._keeper.shelf.mark(name, position, text)

    def note_runs(self, start: Position, end: Position, runs: Sequence[Mark]) -> None:
        """Note who ran on a stretch, to be seen on the timeline in the place of what was known of that."""
        self._keeper.shelf.runs(start, end, runs)

    def bookmark(self, name: str, bookmark: Bookmark | None) -> None:
        """Name a place, or (None) take the name away, and keep that with the recording."""
        self._keeper.shelf.bookmark(name, bookmark)

    async def _all_meant_here(self, points: Sequence[Point]) -> tuple[Point, ...]:
        self.spaces.keep(points)
        return await self.meant_here(points)

    async def _stop(self, reason: StopReason) -> Stop:
        return Stop(reason, self._cursor.position, await self.pc())

    async def _hit_stop(self, hit: Hit) -> Stop:
        self._keeper.shelf.mark(STOPS, self._cursor.position, hit.text)
        if hit.space is not None and await self.space_of(hit.point.address) is None:
            hit = replace(hit, space=None)
        return Stop(hit.reason, self._cursor.position, await self.pc(), (hit,))

    def _report(self, progress: Progress) -> None:
        self.reports += 1
        self.on_progress(progress)
