"""Machines whose RAM is mapped from a file: any snapshot in some milliseconds, however much memory the guest has.

A snapshot is the devices' state, half a megabyte, and a table of RAM pages, each of which the recording keeps once
(:mod:`rrdbg.store.pages`). A *blank* is a QEMU that waits to be told which state to take. Its RAM is the recording's
*base image*, mapped privately: all blanks share its pages, and to become a snapshot it is given only those that differ
from the base (:mod:`rrdbg.engine.machines.blank`). To make a page its own costs a process 4 µs, four times what writing
to it costs then, so while it waits a blank is given the pages of the snapshot that was wanted last: the next one
differs in a few, or at least in the same ones (Linux boot: 30 ms from a blank to a machine that stands, and 20 ms so).
A machine that is to be saved from has its RAM in a file that it shares with us (:mod:`rrdbg.engine.machines.live_ram`),
since QEMU leaves out of a state only what it shares.

The base is the RAM of one of the snapshots, written out. It is made anew whenever it is missing; what it holds says the
table beside it. Without one blanks map zeros.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from rrdbg.engine.machines import base_image
from rrdbg.engine.machines.base_image import BaseImage
from rrdbg.engine.machines.blank import Blank
from rrdbg.engine.machines.ground import Ground, More, disk_scratch
from rrdbg.engine.machines.incoming import FILE_URI, take_up, write_state
from rrdbg.engine.machines.live_ram import LiveRam
from rrdbg.engine.machines.loadvm import STATE_FILE, STATE_NODE, no_delta
from rrdbg.engine.machines.source import Waiting
from rrdbg.errors import QemuDied, QemuLaunchError, QmpError, RecordingError, Stalled
from rrdbg.links.idle import wait_for_host
from rrdbg.links.images import plain_qcow2
from rrdbg.links.machine import Machine
from rrdbg.links.mapped_ram import MappedRam
from rrdbg.links.process import kept_clear
from rrdbg.links.qmp import refusal
from rrdbg.links.unbroken import unbroken
from rrdbg.links.vmstate import as_paused, read_vmstate
from rrdbg.links.words import Images, RamFile, opened_files, waiting_words
from rrdbg.model.machine.ram import PAGE, RamBlock
from rrdbg.model.machine.safety import Versions
from rrdbg.model.timeline.snapshot import Snapshot
from rrdbg.store.files import write_atomically
from rrdbg.store.page_table import differing, read_table, write_table
from rrdbg.store.pages import SUM_BYTES, Pages, page_sum

_MOST_STATE = 1 << 30
_WARM_PAGES = (64 << 20) // PAGE
"""So many pages may be copied into a blank while it waits."""

_TAG = "rrdbg"
"""By which QEMU knows what is being saved. One name, so that it drops what it saved before: dropping that in a copy of
each disk takes 30 ms, which for the twentieth snapshot of one machine was 0.6 s."""

_CANNOT_DROP = Versions(first=(10, 1))
"""QEMU that ends as it drops what it saved before: it insists on having waited for all disks, which none does that
replays (11.1: ``bs->quiesce_counter > 0``)."""

_SAVE_SECONDS = 20.0
"""It takes some milliseconds, and what a guest has written to a slow disk."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a snapshot is made of: the devices' state, the RAM it was taken of, and the files it will be in.

    These are the devices' state, the table of pages, and one for each writable disk, which is there already.
    """

    state: bytes
    live: LiveRam
    files: tuple[Path, ...]


Sums = tuple[bytes, range]
"""The checksums of all pages of RAM, and at which addresses of its process that lies."""


class Mapping:
    """Starts and saves such machines on ``ground``; ``block`` is their RAM."""

    def __init__(self, ground: Ground, block: RamBlock) -> None:
        self._ground = ground
        self.block = block
        self.pages = Pages(ground.layout.ram, ground.recording.turn)
        self._base: BaseImage | None = None
        self._old_bases: list[BaseImage] = []
        self._live: WeakKeyDictionary[Machine, LiveRam] = WeakKeyDictionary()
        self._private: WeakKeyDictionary[Machine, tuple[BaseImage, array[int]]] = WeakKeyDictionary()
        self._by_file = ground.recording.manifest.qemu_version in FILE_URI
        self._stock: list[Blank] = []
        self._stocked = 0
        self._stocking: asyncio.Task[None] | None = None
        self._making: asyncio.Task[None] | None = None
        self._promised = False
        self._recent: array[int] | None = None  # what the machine that was started last began with

    # RAM that is shared, of machines that can be saved.

    def new_ram(self) -> tuple[LiveRam, RamFile]:
        """RAM for a machine that can be saved, and what its QEMU is told of it."""
        if self._ground.recording.writable:
            self.pages.prepare()
        live = self._new_live()
        return live, RamFile(self.block, live.file, shared=True, beside=live.pages)

    def adopt(self, machine: Machine, live: LiveRam) -> None:
        """``machine``'s RAM is ``live``.

        :raises QmpError: it is not.
        """
        live.belongs_to(machine.process.pid)
        self._live[machine] = live

    def saves(self, machine: Machine) -> bool:
        """Whether ``machine`` can be saved."""
        return machine in self._live

    def used(self, machine: Machine) -> int | None:
        """How many bytes of ``machine``'s RAM were ever written to; None if it cannot be saved."""
        live = self._live.get(machine)
        return live.used if live else None

    # Starting.

    async def start(self, snapshot: Snapshot, more: More | None, *, saving: bool) -> Machine:
        """A machine at ``snapshot``, which is a mapped one; one that can be saved if it is for ``saving``.

        :raises QemuLaunchError: QEMU could not load it, or a file of it is missing or damaged.
        """
        try:
            table = await asyncio.to_thread(read_table, self._ground.layout.root / snapshot.files[1], self.block.pages)
        except RecordingError as error:
            raise QemuLaunchError(str(error)) from None
        blank = await self._take(more, saving=saving)
        try:
            await self._become(blank, snapshot, table)
        except RecordingError as error:
            await blank.machine.close()
            raise QemuLaunchError(str(error)) from None
        except BaseException:
            await blank.machine.close()
            raise
        finally:
            blank.let_go()
            # Not before: what is wanted now has the processors and the memory for itself.
            self._restock_later()
        return blank.machine

    def keep_stocked(self, count: int) -> None:
        """Have ``count`` blanks wait from now on."""
        self._stocked = count
        self._restock_later()

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The blanks that wait, the oldest first."""
        return tuple(Waiting(blank.machine.process.pid, blank.since) for blank in self._stock)

    async def _take(self, more: More | None, *, saving: bool) -> Blank:
        if more is None and not saving:
            if not self._stock and self._making and not self._promised:
                # It is ready sooner than another one that is begun now.
                self._promised = True
                try:
                    await asyncio.wait((self._making,))
                finally:
                    self._promised = False
            while self._stock:
                blank = self._stock.pop(0)
                if blank.base is self._base and blank.machine.usable:
                    return blank
                await blank.end()
        return await self._blank(more, saving=saving)

    async def _blank(self, more: More | None, *, saving: bool) -> Blank:
        ground = self._ground
        try:
            base, live = (None, self._new_live()) if saving else (await self._opened_base(), None)
            pages = live.pages if live else self._opened_pages()
        except OSError as error:
            raise QemuLaunchError(f"There is no room for the guest's RAM: {error.strerror}.") from None
        file = live.file if live else base.file if base else -1
        ram = RamFile(self.block, file, shared=saving, sealed=self._by_file and not saving, beside=pages)
        directory = ground.directory()
        images = Images(
            plain_qcow2(STATE_NODE, ground.empty(directory / STATE_FILE)),
            ground.disk_nodes(directory, no_delta),
        )
        # An older QEMU opens what it maps privately to be written, and never does.
        opened_to_write = [Path(f"/dev/fd/{file}")] if base and base.kept and not ram.sealed else []
        state = kept_clear(os.memfd_create("rrdbg-state", os.MFD_CLOEXEC))
        ours = [state] if live or pages is None else [state, pages]
        try:
            machine = await Machine.start(
                lambda fd: [
                    *waiting_words(
                        ground.qemu, ground.invocation, images, ground.layout.bundled,
                        log=ground.layout.log, gdb_fd=fd, ram=ram,
                    ),
                    *ground.confinement.options(),
                    *(more.words(directory) if more else ()),
                ],
                directory, opened_files(ground.invocation, ground.layout.bundled),
                ground.processors, (state, *ram.passed),
                ground.confinement.words(directory, read=more.read if more else (), write=opened_to_write),
            )  # fmt: skip
        except BaseException:
            _close(ours)
            raise
        try:
            await machine.qmp.leave_ram_out(True)
        except BaseException:
            _close(ours)
            await machine.close()
            raise
        return Blank(machine, state, None if live else pages, base, live, base.table if base else None)

    def _new_live(self) -> LiveRam:
        pages = self._opened_pages()
        try:
            return LiveRam(self.block, pages)
        except OSError:
            if pages is not None:
                os.close(pages)
            raise

    def _opened_pages(self) -> int | None:
        file = self.pages.open()
        return None if file is None else kept_clear(file)

    async def _become(self, blank: Blank, snapshot: Snapshot, table: array[int]) -> None:
        root = self._ground.layout.root
        state = await asyncio.to_thread(_unpacked, root / snapshot.files[0])
        # Known before it is so: nobody may give back the room of pages that are mapped.
        if blank.live:
            self._live[blank.machine] = blank.live
        elif blank.base:
            self._private[blank.machine] = (blank.base, table)
            self._recent = table
        await asyncio.to_thread(blank.hold, table, self.pages)
        await self._load(blank, state, [root / name for name in snapshot.files[2:]])

    async def _load(self, blank: Blank, state: bytes, disks: Sequence[Path]) -> None:
        """Have QEMU take ``state``, with what was written to the disks in ``disks``."""
        directory = blank.machine.directory
        for index, file in zip(self._ground.writable_disks, disks, strict=True):
            # QEMU has it open, but reads all of it anew once it owns the disks.
            await asyncio.to_thread(_overwrite, file, disk_scratch(directory, index))
        write_state(blank.state, state)
        try:
            await take_up(blank.machine.process, blank.state, self._ground.recording.manifest.qemu_version)
        except QemuDied:
            raise QemuLaunchError(f"QEMU could not load a state: {await blank.machine.process.death()}") from None
        except QmpError as error:
            raise QemuLaunchError(str(error)) from None

    # Saving.

    async def take(self, machine: Machine, icount: int) -> Taken:
        """The state of ``machine``, at ``icount``, which may go on then.

        :raises SnapshotNotNow: a little later it will work.
        :raises QmpError: it failed.
        :raises OSError: the disk is full.
        """
        state, disks = await self._devices(machine, icount)
        live = self._live[machine]
        await asyncio.to_thread(live.take, self.pages)
        stem = machine.directory / str(icount)
        return Taken(state, live, (stem.with_suffix(".state"), stem.with_suffix(".pages"), *disks))

    async def finish(self, taken: Taken) -> None:
        """Take QEMU's own snapshots out of the disks that were ``taken``, before :meth:`keep`.

        :raises LinkError: qemu-img failed.
        """
        await self._ground.finish_disks(taken.files[2:])

    def keep(self, taken: Taken) -> bytes:
        """Write what was ``taken`` into its files, which takes longer than taking it; the checksums of all pages.

        What was taken first of a machine is kept first.

        :raises OSError: the disk is full.
        """
        taken.live.keep(self.pages)
        write_atomically(taken.files[0], zlib.compress(taken.state, 1))
        write_table(taken.files[1], taken.live.table)
        return taken.live.saved_sums

    async def _devices(self, machine: Machine, icount: int) -> tuple[bytes, list[Path]]:
        """The devices' state of ``machine``, and what its guest has written to each disk."""
        version = self._ground.recording.manifest.qemu_version
        tag = f"{_TAG}-{icount}" if version in _CANNOT_DROP else _TAG
        if self._ground.invocation.disks:
            await wait_for_host(machine.process.pid)
        await machine.qmp.leave_ram_out(True)
        try:
            async with asyncio.timeout(_SAVE_SECONDS):
                failure = (await machine.monitor(f"savevm {tag}")).strip()
        except (Stalled, TimeoutError) as error:
            await machine.process.kill()
            raise QemuDied(f"QEMU hung where a snapshot was to be saved, and was ended: {error}") from None
        if failure:
            raise refusal(failure)
        state = await asyncio.to_thread(read_vmstate, machine.directory / STATE_FILE, tag)
        return as_paused(state), await self._ground.take_disks(machine.directory, icount)

    async def sums(self, machine: Machine) -> Sums | None:
        """The checksums of ``machine``'s RAM as it is now; None for a machine that was started in another way."""
        if live := self._live.get(machine):
            return await asyncio.to_thread(live.sums), self._place(machine, live.file)
        if private := self._private.get(machine):
            return await asyncio.to_thread(self._private_sums, machine, *private), self._place(machine, private[0].file)
        return None

    def place(self, machine: Machine) -> range:
        """At which addresses of its process the RAM of ``machine`` lies, which can be saved.

        :raises QmpError: that is not told here.
        """
        return self._place(machine, self._live[machine].file)

    def _place(self, machine: Machine, file: int) -> range:
        where = MappedRam(machine.process.pid, file, self.block.size)
        return range(where.address, where.address + self.block.size)

    def _private_sums(self, machine: Machine, base: BaseImage, table: array[int]) -> bytes:
        """The checksums of RAM that was mapped from ``base``, and held what ``table`` names when it was loaded."""
        where = MappedRam(machine.process.pid, base.file, self.block.size)
        base.sums = base.sums or bytes(self.pages.sums(base.table))
        sums = bytearray(base.sums)
        # Some of that is mapped, and no longer what the base has, but not written to.
        for first, _, known in self.pages.summed_runs(table, differing(table, base.table)):
            sums[first * SUM_BYTES : first * SUM_BYTES + len(known)] = known
        with where.reading() as read:
            # Most are as they were loaded: to compare is quicker than to hash, and many pages at once than each.
            for first, run, known in self.pages.summed_runs(table, where.own_pages()):
                now = read(first, len(run) // PAGE)
                loaded = bytes(run)
                found = known if now == loaded else _sums(now, loaded, known)
                sums[first * SUM_BYTES : first * SUM_BYTES + len(found)] = found
        return bytes(sums)

    # The base image.

    def make_base(self, snapshots: Sequence[Snapshot]) -> None:
        """Make the base image of the snapshot in the middle, if there is none yet; blanks that come will map it."""
        mapped = [snapshot for snapshot in snapshots if snapshot.mapped]
        if not mapped or not self._ground.recording.first or base_image.is_there(self._folder):
            return
        chosen = mapped[len(mapped) // 2]
        table = read_table(self._ground.layout.root / chosen.files[1], self.block.pages)
        base_image.make(self._folder, table, self.pages, self._ground.scratch / "base.ram", sealed=self._by_file)
        self._leave_base()

    async def _opened_base(self) -> BaseImage:
        if self._base is None:
            opened = await asyncio.to_thread(BaseImage.open, self._folder, self.block)
            return self._have(opened)
        return self._base

    def _have(self, opened: BaseImage) -> BaseImage:
        """The base, which is ``opened`` unless another machine was quicker."""
        if self._base:
            opened.close()
        else:
            self._base = opened
        return self._base

    def keep_only(self, tables: Iterable[array[int]]) -> None:
        """Give back the room of all pages that are neither in ``tables`` nor mapped by a machine.

        :raises RecordingError: the table of the base image is damaged.
        """
        base = base_image.slots(self._folder, self.block)
        private = [table for _, table in self._private.values()]
        needed = [live.needed for live in self._live.values()]
        gone = self.pages.keep_only([*tables, *(table for table in (*private, *needed, base) if table is not None)])
        for live in self._live.values():
            live.lost(gone)

    @property
    def _folder(self) -> Path:
        return self._ground.layout.ram

    def _leave_base(self) -> None:
        if self._base:
            # Machines that run have it mapped, and are still to be compared with it.
            self._old_bases.append(self._base)
            self._base = None

    async def close(self) -> None:
        """End the blanks that wait, and let go of all files; the other machines must have ended."""
        self._stocked = 0
        for task in (self._stocking, self._making):
            if task:
                task.cancel()
                await asyncio.wait((task,))
        stock, self._stock = self._stock, []
        for blank in stock:
            await blank.end()
        self._leave_base()
        bases, self._old_bases = self._old_bases, []
        for base in bases:
            base.close()  # once: the number may be another file's by the next time
        for live in self._live.values():
            live.close()
        self.pages.close()

    def _restock_later(self) -> None:
        if self._stocked and (self._stocking is None or self._stocking.done()):
            self._stocking = asyncio.create_task(self._restock())

    async def _restock(self) -> None:
        # Without a blank everything only takes longer; what is wrong a movement will find out, and tell.
        with contextlib.suppress(QemuLaunchError, QmpError, QemuDied, RecordingError):
            while len(self._stock) < self._stocked:
                self._making = asyncio.create_task(self._stock_one())
                try:
                    await self._making
                finally:
                    self._making = None

    async def _stock_one(self) -> None:
        blank = await self._blank(None, saving=False)
        try:
            if self._recent and not self._promised:
                # To its end: the thread goes on anyway, with a process and a file whose numbers may be others' by then.
                await unbroken(asyncio.to_thread(blank.hold, self._recent, self.pages, _WARM_PAGES))
        except BaseException:
            await blank.end()
            raise
        self._stock.append(blank)


def _close(files: Iterable[int]) -> None:
    for file in files:
        os.close(file)


def _unpacked(path: Path) -> bytes:
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(path.read_bytes(), _MOST_STATE)
    except (OSError, zlib.error) as error:
        raise QemuLaunchError(f"{path} cannot be read: {error}") from None
    if not reader.eof:
        raise QemuLaunchError(f"{path} is damaged.")
    return data


def _sums(now: bytes, loaded: bytes, known: bytes | memoryview) -> bytes:
    """The checksums of the pages ``now``, which are ``known`` of those that have not changed since they were loaded."""
    pages = ((now[at : at + PAGE], loaded[at : at + PAGE]) for at in range(0, len(now), PAGE))
    return b"".join(
        known[number * SUM_BYTES : (number + 1) * SUM_BYTES] if page == before else page_sum(page)
        for number, (page, before) in enumerate(pages)
    )


def _overwrite(source: Path, target: Path) -> None:
    """Write the content of ``source`` into ``target`` as it is, which somebody has open."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        writer.truncate(0)
        shutil.copyfileobj(reader, writer, 1 << 20)
