"""Start machines on the snapshots of one recording, and save new snapshots from them."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from pathlib import Path
from weakref import WeakKeyDictionary

from rrdbg.engine.disks import Base, disk_through_scratch, save_delta
from rrdbg.engine.recorder import read_only_node
from rrdbg.engine.walk import Walker
from rrdbg.errors import RecordingError
from rrdbg.links.images import JsonObject, create_empty, plain_qcow2, through_scratch
from rrdbg.links.machine import Machine
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.links.words import Images, disk_node, replay_words
from rrdbg.model.invocation import Disk
from rrdbg.model.position import Position
from rrdbg.model.snapshot import Snapshot, SnapshotKind
from rrdbg.model.timeline import Timeline
from rrdbg.store.recording import Recording

_SAVE_NODE = "rrdbg-save"
_VMSTATE_NODE = "rrdbg-vmstate-file"


class Launcher:
    """Starts QEMUs for a recording; owns the scratch directory that they write to."""

    def __init__(self, recording: Recording, qemu: str, scratch: Path) -> None:
        self.recording = recording
        self._qemu = qemu
        self._scratch = scratch
        self._numbers = itertools.count()
        self._loaded: WeakKeyDictionary[Machine, Snapshot] = WeakKeyDictionary()

    @classmethod
    async def create(cls, recording: Recording) -> Launcher:
        """Check that the QEMU of the recording is here, and prepare the scratch directory.

        :raises QemuLaunchError: it is not installed.
        :raises RecordingError: it has another version, whose snapshots and log differ.
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
        else:
            scratch = Path(tempfile.mkdtemp(prefix="rrdbg-"))
        await create_empty(scratch / "empty.qcow2")
        return cls(recording, qemu, scratch)

    def close(self) -> None:
        """Remove the scratch directory; the machines must have ended."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    async def start(self, snapshot: Snapshot, timeline: Timeline) -> tuple[Walker, float]:
        """Start a machine on ``snapshot``; also tells how many seconds that took.

        :raises QemuLaunchError: QEMU could not load it; the message is QEMU's.
        """
        began = time.monotonic()
        layout = self.recording.layout
        invocation = self.recording.manifest.invocation
        directory = self._scratch / f"machine-{next(self._numbers)}"
        directory.mkdir()
        images = Images(
            through_scratch(_VMSTATE_NODE, layout.root / snapshot.files[0], self._empty(directory / "vmstate.qcow2")),
            [self._disk_node(index, disk, snapshot, directory) for index, disk in enumerate(invocation.disks)],
        )
        machine = await Machine.start(
            lambda fd: replay_words(
                self._qemu, invocation, images, layout.bundled, log=layout.log, tag=snapshot.tag, gdb_fd=fd
            ),
            directory,
        )
        self._loaded[machine] = snapshot
        return Walker(machine, timeline, Position(snapshot.icount)), time.monotonic() - began

    async def save(self, walker: Walker, kind: SnapshotKind) -> Snapshot:
        """Save a snapshot where ``walker`` stands, which must be a plain position.

        The files appear in the recording only when they are complete.

        :raises SnapshotNotNow: a little later it will work.
        :raises QmpError: it failed, for example since the disk is full.
        """
        layout = self.recording.layout
        machine = walker.machine
        icount = walker.position.icount
        tag = f"rrdbg-{icount}"
        writable = self._writable_disks()
        draft = self._empty(machine.directory / f"save-{icount}.qcow2")
        await machine.qmp.execute("blockdev-add", **plain_qcow2(_SAVE_NODE, draft))
        try:
            await machine.qmp.save_snapshot(tag, _SAVE_NODE, [_SAVE_NODE, *map(disk_node, writable)])
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        finally:
            if machine.process.alive:
                await machine.qmp.execute("blockdev-del", **{"node-name": _SAVE_NODE})
        files = [(draft, layout.snapshots / f"{icount}.qcow2")]
        for index in writable:
            made = machine.directory / f"save-{icount}-disk{index}.qcow2"
            await self._save_disk(machine, index, tag, made)
            files.append((made, layout.snapshots / f"{icount}-disk{index}.qcow2"))
        for source, final in reversed(files):
            source.replace(final)
        return Snapshot(
            icount, tag, kind, tuple(layout.relative(final) for _, final in files),
            size=sum(final.stat().st_blocks * 512 for _, final in files),
        )  # fmt: skip

    def in_use(self, snapshot: Snapshot) -> bool:
        """True while a machine runs that was started on ``snapshot`` and still needs its files."""
        return any(machine.process.alive and loaded.files == snapshot.files for machine, loaded in self._loaded.items())

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
        return Base(layout.disk(index), layout.source(disk), disk.format or "raw")

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
