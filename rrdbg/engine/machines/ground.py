"""What all machines of a recording stand on: the recording, its QEMU, and a folder for the files that they write."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.machines.confined import Confinement
from rrdbg.engine.machines.disks import Base, disk_through_scratch, image_node, keep_only, read_only_node, save_delta
from rrdbg.links.images import JsonObject
from rrdbg.links.scheduling import Processors
from rrdbg.links.words import disk_node
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import Invocation
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.layout import Layout
from rrdbg.store.recording import Recording

Delta = Callable[[int], Path | None]
"""The file that holds what was written to the disk of a number, if anything was."""


@dataclass(frozen=True, slots=True)
class More:
    """Options of QEMU's to be added, for the machine's own directory, and the files that they ``read``."""

    words: Callable[[Path], Sequence[str]] = lambda _: ()
    read: Sequence[Path] = ()


class Ground:
    """Directories and disks for machines of ``recording`` that run ``qemu`` and write below ``scratch``."""

    def __init__(self, recording: Recording, qemu: str, scratch: Path, processors: Processors) -> None:
        self.recording = recording
        self.qemu = qemu
        self.processors = processors
        """The processors that machines keep to."""
        self.scratch = scratch
        self.confinement = Confinement(Path(qemu))
        """What QEMU gives up; nothing until that is known."""
        self._numbers = itertools.count()

    @property
    def layout(self) -> Layout:
        """The recording's paths."""
        return self.recording.layout

    @property
    def invocation(self) -> Invocation:
        """The machine that was recorded."""
        return self.recording.manifest.invocation

    def directory(self) -> Path:
        """A new machine's directory."""
        directory = self.scratch / f"machine-{next(self._numbers)}"
        directory.mkdir()
        return directory

    def empty(self, path: Path) -> Path:
        """A new empty qcow2 image at ``path``."""
        return Path(shutil.copyfile(self.scratch / "empty.qcow2", path))

    @property
    def writable_disks(self) -> list[int]:
        """The numbers of the disks that the guest may write to."""
        return [index for index, disk in enumerate(self.invocation.disks) if not disk.read_only]

    def disk_nodes(self, directory: Path, delta: Delta) -> list[JsonObject]:
        """The block nodes of all disks; what the guest writes goes to files in ``directory``, above ``delta``."""
        return [self._disk_node(index, disk, directory, delta) for index, disk in enumerate(self.invocation.disks)]

    def _disk_node(self, index: int, disk: Disk, directory: Path, delta: Delta) -> JsonObject:
        if disk.read_only:
            return read_only_node(index, disk, self.layout.source(disk))
        scratch = self.empty(disk_scratch(directory, index))
        return disk_through_scratch(disk_node(index), self._base(index), delta(index), scratch)

    async def save_disks(self, directory: Path, icount: int, delta: Delta, tag: str) -> list[Path]:
        """Write what the machine in ``directory``, which was just saved at ``icount``, has changed on each disk.

        The files are new ones in ``directory``. Of snapshots inside they have only ``tag``.
        """
        files = []
        for index in self.writable_disks:
            files.append(disk_file(directory, icount, index))
            await save_delta(self._base(index), delta(index), disk_scratch(directory, index), tag, files[-1])
        return files

    async def take_disks(self, directory: Path, icount: int) -> list[Path]:
        """Copy what the machine in ``directory``, which was just saved at ``icount``, has changed on each disk.

        The guest may go on then; :meth:`finish_disks` makes the copies part of a snapshot.
        """
        files = [disk_file(directory, icount, index) for index in self.writable_disks]
        for index, file in zip(self.writable_disks, files, strict=True):
            await asyncio.to_thread(shutil.copyfile, disk_scratch(directory, index), file)
        return files

    async def finish_disks(self, files: Sequence[Path]) -> None:
        """Have the copies ``files`` hold no snapshot inside: 50 ms for each disk.

        :raises LinkError: qemu-img failed, for example since the disk is full.
        """
        for index, file in zip(self.writable_disks, files, strict=True):
            await keep_only(None, file, self._base(index))

    def delta(self, snapshot: Snapshot, index: int) -> Path | None:
        """What ``snapshot`` has changed on disk ``index``; the initial one has changed nothing."""
        if snapshot.kind is SnapshotKind.INITIAL:
            return None
        others = len(snapshot.files) - len(self.writable_disks)
        return self.layout.root / snapshot.files[others + self.writable_disks.index(index)]

    def _base(self, index: int) -> Base:
        disk = self.invocation.disks[index]
        return Base(self.layout.written(index, disk), image_node(disk, self.layout.source(disk)))


def disk_scratch(directory: Path, index: int) -> Path:
    """Where the machine in ``directory`` writes what its guest writes to disk ``index``."""
    return directory / f"disk{index}.qcow2"


def disk_file(folder: Path, icount: int, index: int) -> Path:
    """The file in ``folder`` that holds disk ``index`` of the snapshot at ``icount``."""
    return folder / f"{icount}-disk{index}.qcow2"


def move_into_place(drafts: Sequence[Path], finals: Sequence[Path]) -> None:
    """Give complete files their names, the first one, by which the others are found, last."""
    for draft, final in reversed(list(zip(drafts, finals, strict=True))):
        draft.replace(final)
