"""Machines that QEMU itself loads, from a snapshot inside an image: the way for the recording's initial snapshot, and
for all of a machine whose RAM cannot be mapped from a file.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

from rrdbg.engine.machines.ground import Delta, Ground, More
from rrdbg.errors import QemuDied, QemuLaunchError, Stalled
from rrdbg.links.idle import wait_for_host
from rrdbg.links.images import IO_URING, THREADS, plain_qcow2, through_scratch
from rrdbg.links.machine import Machine
from rrdbg.links.words import Images, RamFile, branch_words, disk_node, opened_files, replay_words
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind

_SECTOR = 512
_SAVE_NODE = "rrdbg-save"

STATE_NODE = "rrdbg-vmstate-file"
STATE_FILE = "vmstate.qcow2"
"""The block node of a machine's state, and the file in its directory."""


def no_delta(_: int) -> None:
    """Nothing lies between a mapped machine's scratch and the recording's own overlay."""


class LoadVm:
    """Starts and saves such machines on ``ground``."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._aio = IO_URING
        self._loaded: WeakKeyDictionary[Machine, Snapshot] = WeakKeyDictionary()

    async def start(self, snapshot: Snapshot, more: More, ram: RamFile | None) -> Machine:
        """A machine at ``snapshot``, with its RAM in the file ``ram`` if one is given.

        :raises QemuLaunchError: QEMU could not load it; the message is QEMU's.
        """
        try:
            return await self._start(snapshot, more, ram)
        except QemuLaunchError as error:
            if IO_URING not in str(error):
                raise
        self._aio = THREADS
        return await self._start(snapshot, more, ram)

    async def _start(self, snapshot: Snapshot, more: More, ram: RamFile | None) -> Machine:
        ground = self._ground
        directory, images = self._prepare(snapshot, copied=ram is not None)
        machine = await Machine.start(
            lambda fd: [
                *replay_words(
                    ground.qemu, ground.invocation, images, ground.layout.bundled,
                    log=ground.layout.log, tag=snapshot.tag, gdb_fd=fd, ram=ram,
                ),
                *ground.confinement.options(),
                *more.words(directory),
            ],
            directory, opened_files(ground.invocation, ground.layout.bundled), ground.processors,
            () if ram is None else ram.passed, ground.confinement.words(directory, read=more.read),
        )  # fmt: skip
        self._loaded[machine] = snapshot
        return machine

    async def branch(self, machine: Machine, icount: int) -> Machine:
        """A machine in the state of ``machine``, at ``icount``, that follows no log.

        :raises SnapshotNotNow: the state cannot be saved here.
        :raises QemuLaunchError: QEMU could not load it.
        """
        ground = self._ground
        tag = f"rrdbg-{icount}"
        files = await self.save(machine, icount)
        try:
            state = Snapshot(icount, tag, SnapshotKind.LADDER, tuple(map(str, files)))
            directory, images = self._prepare(state)
            return await Machine.start(
                lambda fd: [
                    *branch_words(ground.qemu, ground.invocation, images, ground.layout.bundled, tag=tag, gdb_fd=fd),
                    *ground.confinement.options(),
                ],
                directory,
                opened_files(ground.invocation, ground.layout.bundled),
                confined=ground.confinement.words(directory, by_itself=True),
            )
        finally:
            # QEMU has them open.
            for file in files:
                file.unlink()

    async def save(self, machine: Machine, icount: int) -> list[Path]:
        """Save the state of ``machine`` into new files in its directory: its own, and one for each writable disk.

        :raises SnapshotNotNow: a little later it will work.
        :raises QmpError: it failed, for example since the disk is full.
        """
        ground, tag = self._ground, f"rrdbg-{icount}"
        await machine.qmp.leave_ram_out(False)
        draft = ground.empty(machine.directory / f"{icount}.qcow2")
        try:
            await self._add_save_node(machine, draft)
            try:
                nodes = map(disk_node, ground.writable_disks)
                await machine.qmp.save_snapshot(tag, _SAVE_NODE, [_SAVE_NODE, *nodes])
            finally:
                if machine.process.alive:
                    await machine.qmp.execute("blockdev-del", **{"node-name": _SAVE_NODE})
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return [draft, *await ground.save_disks(machine.directory, icount, self.delta_of(machine), tag)]

    def delta_of(self, machine: Machine) -> Delta:
        """What lies below the disks of ``machine``."""
        loaded = self._loaded.get(machine)
        return partial(self._ground.delta, loaded) if loaded else no_delta

    def _prepare(self, snapshot: Snapshot, *, copied: bool = False) -> tuple[Path, Images]:
        """A new machine's directory, and the images in it that lie on those of ``snapshot``.

        Into a ``copied`` one QEMU can save states that we find there.
        """
        ground = self._ground
        directory = ground.directory()
        disks = ground.disk_nodes(directory, partial(ground.delta, snapshot))
        saved = ground.layout.root / snapshot.files[0]
        if copied:
            state = Path(shutil.copyfile(saved, directory / STATE_FILE))
            return directory, Images(plain_qcow2(STATE_NODE, state), disks)
        state = ground.empty(directory / STATE_FILE)
        # By io_uring QEMU 7.2 hangs where a file ends within its first sector, and does not say that it is none.
        whole = saved.exists() and saved.stat().st_size >= _SECTOR
        aio = self._aio if whole and ground.confinement.io_uring else THREADS
        return directory, Images(through_scratch(STATE_NODE, saved, state, aio=aio), disks)

    async def _add_save_node(self, machine: Machine, draft: Path) -> None:
        if self._ground.invocation.disks:
            await wait_for_host(machine.process.pid)
            await machine.qmp.check_that_snapshots_can_be_saved()
        try:
            await machine.qmp.add_node(plain_qcow2(_SAVE_NODE, draft))
        except Stalled as error:
            await machine.process.kill()
            raise QemuDied(f"QEMU hung where a snapshot was to be saved, and was ended: {error}") from None
