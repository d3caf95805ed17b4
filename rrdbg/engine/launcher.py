"""Start machines on the snapshots of one recording, and save new snapshots from them."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from pathlib import Path

from rrdbg.engine.walk import Walker
from rrdbg.errors import RecordingError
from rrdbg.links.images import create_empty, plain_qcow2, run_qemu_img, through_scratch
from rrdbg.links.machine import Machine
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.links.words import Images, disk_node, replay_words
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
        vmstate, *disks = (layout.root / name for name in snapshot.files)
        packing = "raw" if snapshot.kind is SnapshotKind.INITIAL else "qcow2"
        images = Images(
            through_scratch(_VMSTATE_NODE, vmstate, self._empty(directory / "vmstate.qcow2")),
            [
                through_scratch(disk_node(index), disk, self._empty(_disk_scratch(directory, index)), packing)
                for index, disk in enumerate(disks)
            ],
        )
        machine = await Machine.start(
            lambda fd: replay_words(
                self._qemu, invocation, images, layout.bundled, log=layout.log, tag=snapshot.tag, gdb_fd=fd
            ),
            directory,
        )
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
        disks = range(len(self.recording.manifest.invocation.disks))
        writable = [i for i in disks if not self.recording.manifest.invocation.disks[i].read_only]
        draft = self._empty(machine.directory / f"save-{icount}.qcow2")
        node = plain_qcow2(_SAVE_NODE, draft)
        await machine.qmp.execute("blockdev-add", **node)
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
            copy = machine.directory / f"save-{icount}-disk{index}.qcow2"
            await machine.qmp.monitor(f"qemu-io {disk_node(index)} flush")
            await run_qemu_img(
                "convert", "-U", "-f", "qcow2", "-O", "qcow2", _disk_scratch(machine.directory, index), copy
            )
            files.append((copy, layout.snapshots / f"{icount}-disk{index}.qcow2"))
        for source, final in reversed(files):
            shutil.move(source, final)
        return Snapshot(
            icount, tag, kind, tuple(layout.relative(final) for _, final in files),
            size=sum(final.stat().st_blocks * 512 for _, final in files),
        )  # fmt: skip

    def _empty(self, path: Path) -> Path:
        return Path(shutil.copyfile(self._scratch / "empty.qcow2", path))


def _disk_scratch(directory: Path, index: int) -> Path:
    return directory / f"disk{index}.qcow2"
