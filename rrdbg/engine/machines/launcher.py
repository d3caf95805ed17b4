"""Start machines on the snapshots of one recording, and save new snapshots from them."""

from __future__ import annotations

import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from rrdbg.engine.machines.disks import Base, disk_through_scratch, image_node, read_only_node, save_delta
from rrdbg.engine.machines.source import Running
from rrdbg.engine.machines.walk import Walker
from rrdbg.errors import HostError, ImageError, QemuDied, QemuLaunchError, RecordingError, Stalled, UsageError
from rrdbg.links.images import IO_URING, THREADS, JsonObject, create_empty, plain_qcow2, through_scratch
from rrdbg.links.machine import Machine
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.links.scheduling import Processors
from rrdbg.links.words import Images, branch_words, disk_node, opened_files, replay_words
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.safety import snapshot_hazard
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.process import Role
from rrdbg.store.recording import Recording
from rrdbg.store.workfolder import WorkFolder

_SECTOR = 512
_SAVE_NODE = "rrdbg-save"
_VMSTATE_NODE = "rrdbg-vmstate-file"


class Launcher:
    """Starts QEMUs for a recording; owns the scratch directory that they write to."""

    single = False
    """Each machine has a QEMU of its own."""

    lost = False
    """One that has ended is replaced."""

    def __init__(
        self,
        recording: Recording,
        qemu: str,
        scratch: Path,
        folder: WorkFolder | None,
        processors: Processors | None = None,
    ) -> None:
        self.recording = recording
        self.qemu = qemu
        """The program that the machines run."""
        self._scratch = scratch
        self._folder = folder
        manifest = recording.manifest
        self._hazard = snapshot_hazard(manifest.invocation.architecture, manifest.qemu_version)
        self._aio = IO_URING
        self._processors = processors or Processors()
        self._numbers = itertools.count()
        self._loaded: WeakKeyDictionary[Machine, Snapshot] = WeakKeyDictionary()
        self._running: list[Running] = []
        self._held: Counter[tuple[str, ...]] = Counter()

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
        version = await qemu_version(qemu)
        if version.split()[0] != manifest.qemu_version.split()[0]:
            raise RecordingError(
                f"{recording.name} was recorded with QEMU {manifest.qemu_version}, but {qemu} is {version}; "
                "a recording replays only in the version that made it. Install that version, or put it first on PATH."
            )
        if recording.writable:
            scratch = recording.layout.scratch
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            folder = None
        else:
            folder = WorkFolder()
            scratch = folder.path
        launcher = cls(recording, qemu, scratch, folder, processors)
        try:
            await create_empty(scratch / "empty.qcow2")
        except ImageError as error:
            launcher.close()
            raise HostError(
                f"{recording.name} cannot be opened: {error} Free some space, or open a copy on another disk."
            ) from None
        except BaseException:
            launcher.close()
            raise
        return launcher

    def close(self) -> None:
        """Remove the scratch directory; the machines must have ended."""
        if self._folder:
            self._folder.close()
        else:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def running(self) -> tuple[Running, ...]:
        """The machines that run now, the oldest first."""
        self._running = [known for known in self._running if known.walker.machine.process.alive]
        return tuple(self._running)

    async def start(
        self,
        snapshot: Snapshot,
        timeline: Timeline,
        role: Role = Role.SEARCHING,
        more: Callable[[Path], Sequence[str]] = lambda directory: (),
    ) -> tuple[Walker, float]:
        """Start a machine on ``snapshot`` for what ``role`` says; also tells how many seconds that took.

        ``more`` gives options of QEMU's to be added, for the machine's own directory.

        :raises QemuLaunchError: QEMU could not load it; the message is QEMU's.
        :raises HostError: the disk is full, or too many files are open.
        """
        began = time.monotonic()
        machine = await self._load(snapshot, more)
        walker = Walker(machine, timeline, Position(snapshot.icount))
        self._note(walker, role)
        return walker, time.monotonic() - began

    async def _load(self, snapshot: Snapshot, more: Callable[[Path], Sequence[str]]) -> Machine:
        try:
            return await self._load_by_aio(snapshot, more)
        except QemuLaunchError as error:
            if IO_URING not in str(error):
                raise
        self._aio = THREADS
        return await self._load_by_aio(snapshot, more)

    async def _load_by_aio(self, snapshot: Snapshot, more: Callable[[Path], Sequence[str]]) -> Machine:
        layout = self.recording.layout
        invocation = self.recording.manifest.invocation
        try:
            directory, images = self._prepare(snapshot)
            machine = await Machine.start(
                lambda fd: [
                    *replay_words(
                        self.qemu, invocation, images, layout.bundled, log=layout.log, tag=snapshot.tag, gdb_fd=fd
                    ),
                    *more(directory),
                ],
                directory,
                opened_files(invocation, layout.bundled),
                self._processors,
            )
        except OSError as error:
            raise HostError.of(error, f"Cannot start a QEMU at {snapshot.icount:,}") from None
        self._loaded[machine] = snapshot
        return machine

    async def branch(self, walker: Walker) -> Machine:
        """A machine in the state of ``walker``'s that follows no log; the caller closes it.

        :raises SnapshotNotNow: the state cannot be saved here.
        :raises QemuLaunchError: QEMU could not load it.
        """
        layout = self.recording.layout
        invocation = self.recording.manifest.invocation
        tag = f"rrdbg-{walker.position.icount}"
        files = await self._write(walker.machine, tag)
        try:
            state = Snapshot(walker.position.icount, tag, SnapshotKind.LADDER, tuple(map(str, files)))
            directory, images = self._prepare(state)
            machine = await Machine.start(
                lambda fd: branch_words(self.qemu, invocation, images, layout.bundled, tag=tag, gdb_fd=fd),
                directory,
                opened_files(invocation, layout.bundled),
            )
        finally:
            # QEMU has them open.
            for file in files:
                file.unlink()
        self._note(Walker(machine, walker.timeline, walker.position), Role.WHAT_IF)
        return machine

    def _note(self, walker: Walker, role: Role) -> None:
        self._running = [*self.running, Running(walker, role, time.monotonic())]

    def _prepare(self, snapshot: Snapshot) -> tuple[Path, Images]:
        """A new machine's directory, and the images in it that lie on those of ``snapshot``."""
        directory = self._scratch / f"machine-{next(self._numbers)}"
        directory.mkdir()
        state = self._empty(directory / "vmstate.qcow2")
        disks = self.recording.manifest.invocation.disks
        saved = self.recording.layout.root / snapshot.files[0]
        # By io_uring QEMU 7.2 hangs where a file ends within its first sector, and does not say that it is none.
        aio = self._aio if saved.exists() and saved.stat().st_size >= _SECTOR else THREADS
        return directory, Images(
            through_scratch(_VMSTATE_NODE, saved, state, aio=aio),
            [self._disk_node(index, disk, snapshot, directory) for index, disk in enumerate(disks)],
        )

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
            raise UsageError(f"{self.recording.layout.root} is read-only; a snapshot cannot be kept in it.")

    async def save(self, walker: Walker, kind: SnapshotKind) -> Snapshot:
        """Save a snapshot where ``walker`` stands, which must be a plain position.

        The files appear in the recording only when they are complete.

        :raises SnapshotNotNow: a little later it will work.
        :raises QmpError: it failed, for example since the disk is full.
        """
        layout = self.recording.layout
        icount = walker.position.icount
        tag = f"rrdbg-{icount}"
        drafts = await self._write(walker.machine, tag)
        names = [f"{icount}.qcow2", *(f"{icount}-disk{index}.qcow2" for index in self._writable_disks())]
        finals = [layout.snapshots / name for name in names]
        for draft, final in reversed(list(zip(drafts, finals, strict=True))):
            draft.replace(final)
        return Snapshot(
            icount, tag, kind, tuple(map(layout.relative, finals)),
            size=sum(final.stat().st_blocks * 512 for final in finals),
        )  # fmt: skip

    async def _write(self, machine: Machine, tag: str) -> list[Path]:
        """Save the state of ``machine`` as ``tag`` into new files: its own, and one for each writable disk."""
        writable = self._writable_disks()
        draft = self._empty(machine.directory / f"save-{tag}.qcow2")
        try:
            await self._add_save_node(machine, draft)
            try:
                await machine.qmp.save_snapshot(tag, _SAVE_NODE, [_SAVE_NODE, *map(disk_node, writable)])
            finally:
                if machine.process.alive:
                    await machine.qmp.execute("blockdev-del", **{"node-name": _SAVE_NODE})
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        drafts = [draft]
        for index in writable:
            drafts.append(machine.directory / f"save-{tag}-disk{index}.qcow2")
            await self._save_disk(machine, index, tag, drafts[-1])
        return drafts

    async def _add_save_node(self, machine: Machine, draft: Path) -> None:
        if self.recording.manifest.invocation.disks:
            await machine.qmp.check_that_snapshots_can_be_saved()
        try:
            await machine.qmp.add_node(plain_qcow2(_SAVE_NODE, draft))
        except Stalled as error:
            await machine.process.kill()
            raise QemuDied(f"QEMU hung where a snapshot was to be saved, and was ended: {error}") from None

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

    def _writable_disks(self) -> list[int]:
        disks = self.recording.manifest.invocation.disks
        return [index for index, disk in enumerate(disks) if not disk.read_only]

    def _disk_node(self, index: int, disk: Disk, snapshot: Snapshot, directory: Path) -> JsonObject:
        if disk.read_only:
            return read_only_node(index, disk, self.recording.layout.source(disk))
        scratch = self._empty(_disk_scratch(directory, index))
        return disk_through_scratch(disk_node(index), self._base(index), self._delta(snapshot, index), scratch)

    def _base(self, index: int) -> Base:
        disk = self.recording.manifest.invocation.disks[index]
        layout = self.recording.layout
        return Base(layout.written(index, disk), image_node(disk, layout.source(disk)))

    def _delta(self, snapshot: Snapshot, index: int) -> Path | None:
        """What ``snapshot`` has changed on disk ``index``; the initial one has changed nothing."""
        if snapshot.kind is SnapshotKind.INITIAL:
            return None
        return self.recording.layout.root / snapshot.files[1 + self._writable_disks().index(index)]

    async def _save_disk(self, machine: Machine, index: int, tag: str, made: Path) -> None:
        delta = self._delta(self._loaded[machine], index)
        await save_delta(self._base(index), delta, _disk_scratch(machine.directory, index), tag, made)

    def _empty(self, path: Path) -> Path:
        return Path(shutil.copyfile(self._scratch / "empty.qcow2", path))


def _disk_scratch(directory: Path, index: int) -> Path:
    return directory / f"disk{index}.qcow2"
