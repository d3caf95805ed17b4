"""Start machines on the snapshots of one recording, and save new snapshots from them."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from weakref import WeakKeyDictionary

from rrdbg.engine.machines.confined import Confinement
from rrdbg.engine.machines.digest import state_digest, with_pages
from rrdbg.engine.machines.ground import Ground, More, move_into_place
from rrdbg.engine.machines.loadvm import LoadVm
from rrdbg.engine.machines.mapping import Mapping, Taken
from rrdbg.engine.machines.ram_block import find_block
from rrdbg.engine.machines.source import Running, Waiting, given
from rrdbg.engine.machines.walk import Walker
from rrdbg.errors import HostError, ImageError, QemuLaunchError, RecordingError, UsageError
from rrdbg.links.idle import wait_for_host
from rrdbg.links.images import create_empty
from rrdbg.links.machine import Machine
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.links.scheduling import Processors
from rrdbg.links.unbroken import unbroken
from rrdbg.links.vmstate import as_paused, read_vmstate
from rrdbg.model.machine.ram import not_mapped
from rrdbg.model.machine.safety import snapshot_hazard
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.process import Role
from rrdbg.store.page_table import read_table
from rrdbg.store.ram_block import known_block, note_block
from rrdbg.store.recording import Recording
from rrdbg.store.workfolder import WorkFolder

SETTING = "RRDBG_SNAPSHOTS"
"""The environment variable that has snapshots saved for QEMU to load, whole, if it is ``loadvm``."""


class Launcher:
    """Starts QEMUs for a recording; owns the scratch directory that they write to."""

    single = False
    """Each machine has a QEMU of its own."""

    lost = False
    """One that has ended is replaced."""

    def __init__(self, ground: Ground, folder: WorkFolder | None) -> None:
        self._ground = ground
        self._folder = folder
        manifest = ground.recording.manifest
        invocation = manifest.invocation
        self._hazard = snapshot_hazard(invocation.architecture, manifest.qemu_version, invocation.board)
        self._loadvm = LoadVm(ground)
        self._mapping: Mapping | None = None
        self._why_unmapped = not_mapped(manifest.invocation)
        self._loaded: WeakKeyDictionary[Machine, Snapshot] = WeakKeyDictionary()
        self._running: list[Running] = []
        self._looking = asyncio.Lock()
        self._stocked = 0
        self._held: Counter[tuple[str, ...]] = Counter()
        if self._why_unmapped is None and (block := known_block(ground.layout)):
            self._mapping = Mapping(ground, block)

    @classmethod
    async def create(cls, recording: Recording, processors: Processors | None = None) -> Launcher:
        """Check that the QEMU of the recording is here, and prepare the scratch directory.

        The machines share ``processors``, all that there are by default.

        :raises QemuLaunchError: it is not installed.
        :raises RecordingError: it has another version, whose snapshots and log differ.
        :raises HostError: there is no room for the files of running machines.
        """
        manifest = recording.manifest
        qemu = find_qemu(manifest.invocation.binary)
        if recording.first:
            scratch = recording.layout.scratch
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            folder = None
        else:
            folder = WorkFolder()
            scratch = folder.path
        launcher = cls(Ground(recording, qemu, scratch, processors or Processors()), folder)
        try:
            # Each runs a program, for 30 ms: all at once, and all have ended when one has failed.
            ended = await asyncio.gather(
                _check_version(recording, qemu),
                launcher._confine(),
                create_empty(scratch / "empty.qcow2"),
                return_exceptions=True,
            )
            for failure in filter(None, ended):
                raise failure
        except ImageError as error:
            await launcher.close()
            raise HostError(
                f"{recording.name} cannot be opened: {error} Free some space, or open a copy on another disk."
            ) from None
        except BaseException:
            await launcher.close()
            raise
        return launcher

    async def _confine(self) -> None:
        ground = self._ground
        ground.confinement = await Confinement.of(ground.recording, Path(ground.qemu), ground.scratch)

    @property
    def recording(self) -> Recording:
        """What the machines replay."""
        return self._ground.recording

    @property
    def ram(self) -> int:
        """Bytes of RAM that snapshots are made of; 0 where RAM is not mapped."""
        return self._mapping.block.size if self._mapping else 0

    @property
    def confinement(self) -> Sequence[str]:
        """What the machines give up, and what not, each as a sentence without its stop."""
        return self._ground.confinement.told

    @property
    def qemu(self) -> str:
        """The program that the machines run."""
        return self._ground.qemu

    async def close(self) -> None:
        """End the machines that wait, and remove the scratch directory; the others must have ended."""
        try:
            if self._mapping:
                await self._mapping.close()
        finally:
            if self._folder:
                self._folder.close()
            else:
                shutil.rmtree(self._ground.scratch, ignore_errors=True)

    @property
    def running(self) -> tuple[Running, ...]:
        """The machines that run now, the oldest first."""
        self._running = [known for known in self._running if known.walker.machine.process.alive]
        return tuple(self._running)

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Those that wait to become any snapshot, the oldest first."""
        return self._mapping.waiting if self._mapping else ()

    async def start(
        self,
        snapshot: Snapshot,
        timeline: Timeline,
        role: Role = Role.SEARCHING,
        *,
        saving: bool = False,
        more: More | None = None,
    ) -> tuple[Walker, float]:
        """Start a machine on ``snapshot`` for what ``role`` says; also tells how many seconds that took.

        If it is for ``saving`` snapshots can be saved from it; from another one perhaps not. ``more`` gives options of
        QEMU's to be added, for the machine's own directory.

        :raises QemuLaunchError: QEMU could not load it; the message is QEMU's.
        :raises HostError: the disk is full, or too many files are open.
        """
        began = time.monotonic()
        try:
            machine = await self._start(snapshot, more, saving=saving)
        except OSError as error:
            raise HostError.of(error, f"Cannot start a QEMU at {snapshot.icount:,}") from None
        self._loaded[machine] = snapshot
        walker = Walker(machine, timeline, Position(snapshot.icount))
        self._note(walker, role)
        return walker, time.monotonic() - began

    async def _start(self, snapshot: Snapshot, more: More | None, *, saving: bool) -> Machine:
        if snapshot.mapped:
            if self._mapping is None:
                raise QemuLaunchError(f"its RAM cannot be mapped here ({self._why_unmapped or 'unknown memory'})")
            return await self._mapping.start(snapshot, more, saving=saving)
        # The disks of an old snapshot consist of two files, and those of one that is saved from it would of three.
        simple = snapshot.kind is SnapshotKind.INITIAL or not self._ground.writable_disks
        if simple and self._maps and (mapping := self._mapping or await self._look_for_ram(snapshot, more)):
            return await self._load_mapped(mapping, snapshot, more)
        return await self._loadvm.start(snapshot, more or More(), None)

    async def _look_for_ram(self, snapshot: Snapshot, more: More | None) -> Mapping | None:
        """How RAM is mapped, as a first machine of the recording tells it; None if it is not.

        Two that are started at once look once: the blanks of one that nobody knows would never end.
        """
        async with self._looking:
            if self._mapping or self._why_unmapped:
                return self._mapping
            machine = await self._loadvm.start(snapshot, more or More(), None)
            try:
                block = await find_block(machine.qmp)
            finally:
                await machine.close()
            if block is None:
                self._why_unmapped = "QEMU does not tell what its RAM is"
                return None
            note_block(self.recording, block)
            self._mapping = Mapping(self._ground, block)
            self._mapping.keep_stocked(self._stocked)
            return self._mapping

    async def _load_mapped(self, mapping: Mapping, snapshot: Snapshot, more: More | None) -> Machine:
        try:
            live, ram = mapping.new_ram()
        except OSError:
            # A limit of a file's size holds for RAM in a file, too; then QEMU keeps it, and saves it whole.
            return await self._loadvm.start(snapshot, more or More(), None)
        try:
            machine = await self._loadvm.start(snapshot, more or More(), ram)
        except BaseException:
            live.close()
            raise
        try:
            mapping.adopt(machine, live)
            # To its end: the thread goes on anyway, with a file whose number may be that of another one by then.
            await unbroken(asyncio.to_thread(live.give_back_zeros))
        except BaseException:
            await machine.close()
            raise
        return machine

    @property
    def _maps(self) -> bool:
        """Whether new snapshots are to be mapped ones."""
        return os.environ.get(SETTING, "").lower() != "loadvm"

    async def branch(self, walker: Walker) -> Machine:
        """A machine in the state of ``walker``'s that follows no log; the caller closes it.

        :raises SnapshotNotNow: the state cannot be saved here.
        :raises QemuLaunchError: QEMU could not load it.
        """
        machine = await self._loadvm.branch(walker.machine, walker.position.icount)
        self._note(Walker(machine, walker.timeline, walker.position), Role.WHAT_IF)
        return machine

    async def state(self, walker: Walker) -> bytes:
        """All of the state of ``walker``'s machine, RAM included, as QEMU takes it from another one.

        :raises SnapshotNotNow: it cannot be saved here.
        :raises QmpError: it failed, for example since the disk is full.
        """
        icount = walker.position.icount
        files = await self._loadvm.save(walker.machine, icount)
        try:
            return as_paused(await asyncio.to_thread(read_vmstate, files[0], f"rrdbg-{icount}"))
        finally:
            for file in files:
                file.unlink()

    def keep_stocked(self, blanks: int) -> None:
        """Have so many machines wait from now on that become any snapshot at once, if there are such."""
        self._stocked = blanks
        if self._mapping:
            self._mapping.keep_stocked(blanks)

    def _note(self, walker: Walker, role: Role) -> None:
        self._running = [*self.running, Running(walker, role, time.monotonic())]

    @property
    def writable(self) -> bool:
        """True if snapshots can be kept."""
        return self.recording.writable and self._hazard is None

    def check_writable(self) -> None:
        """Say so if snapshots cannot be kept.

        :raises UsageError: the recording is read-only, or this QEMU saves no sound snapshot of such a machine.
        """
        if self._hazard:
            version = self.recording.manifest.qemu_version.split()[0]
            raise UsageError(
                f"No snapshot can be kept, as QEMU {version} saves none that is sound: {self._hazard.reason}. "
                "Jumps start at the beginning; record with a newer QEMU for faster ones."
            )
        if not self.writable:
            raise UsageError(f"No snapshot can be kept. {self.recording.not_kept}")

    def saves(self, walker: Walker) -> bool:
        """Whether a snapshot could be saved where ``walker`` stands, as far as its machine goes."""
        snapshot = self._loaded.get(walker.machine)
        if snapshot is None or not snapshot.mapped:
            return True
        return self._mapping is not None and self._mapping.saves(walker.machine)

    def mapped_bytes(self, walker: Walker) -> int | None:
        """The bytes of RAM in use in ``walker``'s machine, if a snapshot of it would be mapped; else None."""
        return self._mapping.used(walker.machine) if self._mapping else None

    async def digest(self, walker: Walker) -> str:
        """A checksum of the state where ``walker`` stands, to be compared with others of this recording.

        :raises QmpError: the memory cannot be read here.
        """
        if self._ground.invocation.disks:
            # What the host reads from a disk comes into RAM at any time before the log says that it has.
            with suppress(SnapshotNotNow):  # of a host that is busy for long: it differs then, and is told
                await wait_for_host(walker.machine.process.pid)
        found = await self._mapping.sums(walker.machine) if self._mapping else None
        if found is None:
            return await state_digest(walker.machine)
        sums, place = found
        return with_pages(await state_digest(walker.machine, place), sums)

    async def save(self, walker: Walker, kind: SnapshotKind, *, digest: bool = False) -> Awaitable[Snapshot]:
        """Save a snapshot where ``walker`` stands, which must be a plain position, with its ``digest`` if wanted.

        The guest may go on; the snapshot is there when what this gives was awaited, and so it must be before the next
        one. The files appear in the recording only when they are complete.

        :raises SnapshotNotNow: a little later it will work.
        :raises QmpError: it failed, for example since the disk is full.
        """
        machine, icount = walker.machine, walker.position.icount
        if self._mapping and self._mapping.saves(machine):
            taken = await self._mapping.take(machine, icount)
            seen = await state_digest(machine, self._mapping.place(machine)) if digest else None
            return asyncio.create_task(self._written(self._mapping, taken, icount, kind, seen))
        drafts = await self._loadvm.save(machine, icount)
        seen = await state_digest(machine) if digest else None
        return given(self._in_place(drafts, icount, kind, seen))

    async def _written(
        self, mapping: Mapping, taken: Taken, icount: int, kind: SnapshotKind, seen: str | None
    ) -> Snapshot:
        await mapping.finish(taken)
        return await asyncio.to_thread(self._keep, mapping, taken, icount, kind, seen)

    def _keep(self, mapping: Mapping, taken: Taken, icount: int, kind: SnapshotKind, seen: str | None) -> Snapshot:
        before = mapping.pages.size
        sums = mapping.keep(taken)
        snapshot = self._in_place(taken.files, icount, kind, with_pages(seen, sums) if seen else None)
        return replace(snapshot, size=snapshot.size + mapping.pages.size - before)

    def _in_place(self, drafts: Sequence[Path], icount: int, kind: SnapshotKind, digest: str | None) -> Snapshot:
        layout = self.recording.layout
        finals = [layout.snapshots / draft.name for draft in drafts]
        move_into_place(drafts, finals)
        size = sum(final.stat().st_blocks * 512 for final in finals)
        return Snapshot(icount, f"rrdbg-{icount}", kind, tuple(map(layout.relative, finals)), size=size, digest=digest)

    def forgotten(self, timeline: Timeline) -> None:
        """Snapshots were dropped, and ``timeline`` has those that are left: give the room of their pages back."""
        if self._mapping and self.recording.first:
            root, pages = self.recording.layout.root, self._mapping.block.pages
            tables = [read_table(root / known.files[1], pages) for known in timeline.snapshots if known.mapped]
            self._mapping.keep_only(tables)

    def room(self, timeline: Timeline) -> int:
        """Bytes that the snapshots of ``timeline`` take together; pages that several have count once."""
        root = self.recording.layout.root
        files = [root / name for snapshot in timeline.snapshots if snapshot.mapped for name in snapshot.files]
        whole = sum(snapshot.size for snapshot in timeline.snapshots if not snapshot.mapped)
        pages = self._mapping.pages.size if self._mapping else 0
        return whole + pages + sum(file.stat().st_blocks * 512 for file in files if file.exists())

    async def settle(self, timeline: Timeline) -> None:
        """Nothing moves: make the base image that machines map, if the recording has none."""
        if self._mapping:
            # Not in a thread: a session that Python ends at its exit can start none.
            self._mapping.make_base(timeline.snapshots)

    def in_use(self, snapshot: Snapshot) -> bool:
        """True while a machine runs that was started on ``snapshot`` and still needs its files, or others may."""
        return self._held[snapshot.files] > 0 or any(
            machine.process.alive and loaded.files == snapshot.files for machine, loaded in self._loaded.items()
        )

    @contextmanager
    def holding(self, snapshots: Iterable[Snapshot]) -> Iterator[None]:
        """Have ``snapshots`` count as in use: other processes start machines on them."""
        held = Counter(snapshot.files for snapshot in snapshots)
        self._held += held
        try:
            yield
        finally:
            self._held -= held


async def _check_version(recording: Recording, qemu: str) -> None:
    recorded, version = recording.manifest.qemu_version, await qemu_version(qemu)
    if version.split()[0] != recorded.split()[0]:
        raise RecordingError(
            f"{recording.name} was recorded with QEMU {recorded}, but {qemu} is {version}; "
            "a recording replays only in the version that made it. Install that version, or put it first on PATH."
        )
