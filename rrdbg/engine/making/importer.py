"""Make a recording of one that was made without rrdbg: a log, and the command line that it belongs to.

Nothing of the user's is written to. His log is copied; the state of a disk at the recording's start is read out of its
initial snapshot, if it has one, and else the image is taken as it is. Whether all that belongs together no file tells,
so the log is replayed to its end: from the machine's start, and once more from the snapshot that the first
replay left. Both must bring the guest into the same state.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as package_version
from pathlib import Path

from rrdbg.engine.machines.confined import Confinement
from rrdbg.engine.machines.digest import monitor_digest
from rrdbg.engine.machines.disks import read_only_node
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.making.first_replay import FirstReplay
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.prover import FAILURES
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import Divergence, QemuLaunchError, UsageError
from rrdbg.links.images import copy_state, create_empty, create_overlay, describe_image, plain_qcow2
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.links.words import Images, disk_node, first_replay_words, opened_files
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.handmade import DEFAULT_TAG, HandMade, missing_flags, take_apart
from rrdbg.model.machine.handmade_drives import HandMadeDrive
from rrdbg.model.timeline.fence import last_reachable
from rrdbg.store.files import checksum, write_atomically
from rrdbg.store.foreign import utc
from rrdbg.store.layout import Layout, make_directory
from rrdbg.store.logformat import KNOWN_VERSIONS
from rrdbg.store.manifest import Manifest
from rrdbg.store.recording import Recording, adopt
from rrdbg.store.replaylog import LogSummary, summarise
from rrdbg.store.timeline_file import load_timeline

_VMSTATE_NODE = "rrdbg-vmstate-file"
LOAD_SECONDS = 60.0
"""How long a QEMU may take to start on a snapshot: with some machines it hangs for good."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import: QEMU's ``command``, whose files are relative to ``origin``, and where to, ``directory``.

    ``log`` is the replay log, if it is not where the command says. ``images`` take the place of the images that the
    command names, in their order.
    """

    command: Sequence[str]
    directory: Path
    origin: Path
    log: Path | None = None
    images: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is: in the first or second replay (``number``), at ``icount`` of ``total`` instructions."""

    number: int
    icount: int
    total: int


@dataclass(frozen=True, slots=True)
class Imported:
    """A finished import: where, how long in instructions, and how the log ends."""

    directory: Path
    icount: int
    ended: str


class Importer:
    """One import; :meth:`run` does it. ``handmade`` is what the command line tells."""

    def __init__(
        self, request: ImportRequest, on_progress: Callable[[ImportProgress], None] = lambda progress: None
    ) -> None:
        self._request = request
        self._layout = Layout(request.directory.absolute())
        self._on_progress = on_progress
        self.handmade: HandMade = take_apart(request.command, request.origin)
        self._tag = self.handmade.tag or DEFAULT_TAG
        self._summary: LogSummary
        self._end = 0

    async def run(self) -> Imported:
        """Import; if anything fails, nothing is left.

        :raises UsageError: the directory exists already, or a file is missing.
        :raises LogError: the log is damaged, or unfinished.
        :raises QemuLaunchError: QEMU does not start with this command line.
        :raises Divergence: the log does not belong to it, or there is no travelling in it.
        """
        log = self._log()
        self._summary = await asyncio.to_thread(summarise, log)
        qemu = find_qemu(self.handmade.invocation.binary)
        version = await qemu_version(qemu)
        self._end = self._end_of(self._summary)
        make_directory(self._layout)
        try:
            await self._bring_files(log)
            digest = await self._replay_from_the_start(qemu, log, version)
            self._write_manifest(qemu, version, log)
            await self._replay_from_the_snapshot(digest)
        except BaseException:
            shutil.rmtree(self._layout.root, ignore_errors=True)
            raise
        return Imported(self._layout.root, self._summary.total, self._ended())

    def _log(self) -> Path:
        name = self._request.log or self.handmade.log
        if name is None:
            raise UsageError("The command line names no log (-icount ...,rrfile=LOG); say where it is with --log FILE.")
        return self._request.origin / name

    def _end_of(self, summary: LogSummary) -> int:
        shutdowns = [(event.icount, event.is_reset) for event in summary.shutdowns]
        return last_reachable(summary.total, shutdowns, reboots=self.handmade.invocation.reboots, exited=not shutdowns)

    def _ended(self) -> str:
        shutdown = self._summary.shutdown
        return f"its log tells of {shutdown.cause}" if shutdown else "its log ends"

    async def _bring_files(self, log: Path) -> None:
        layout = self._layout
        await asyncio.to_thread(shutil.copy2, log, layout.log)
        for file in self.handmade.invocation.bundled:
            try:
                await asyncio.to_thread(shutil.copyfile, file.source, layout.bundled(file.name))
            except OSError as error:
                raise UsageError(f"Cannot read {file.source} (-{file.option}): {error.strerror}.") from None
        await create_empty(layout.initial)
        disks = [await self._bring_disk(*item) for item in enumerate(self._drives())]
        self._invocation = replace(self.handmade.invocation, disks=tuple(disks))

    def _drives(self) -> list[HandMadeDrive]:
        """The drives, with the images that the user gave in place of those of the command line."""
        drives = list(self.handmade.drives)
        given = self._request.images
        if len(given) > len(drives):
            raise UsageError(f"--image was given {len(given)} times, and the command line has {len(drives)} drives.")
        for index, path in enumerate(given):
            disk = replace(drives[index].disk, source=str(self._request.origin / path), format=None)
            drives[index] = replace(drives[index], disk=disk)
        return drives

    async def _bring_disk(self, index: int, drive: HandMadeDrive) -> Disk:
        """Lay the recording's overlay for a drive over what was on it at the start; how it is found there."""
        source = Path(drive.disk.source)
        if not source.is_file():
            raise UsageError(f"There is no disk image {source}; say where it is with --image FILE.")
        image = await describe_image(source)
        disk = replace(drive.disk, format=drive.disk.format or image.format)
        if disk.read_only:
            return disk
        overlay = self._layout.disk(index)
        if drive.untouched or self._tag not in image.tags:
            await create_overlay(overlay, source, str(disk.format))
            return disk
        if image.backing is not None:
            await copy_state(source, self._tag, overlay, backing=image.backing, backing_format=image.backing_format)
            return replace(disk, source=str(image.backing), format=image.backing_format)
        whole = self._layout.root / "files" / f"disk-{index}"
        await copy_state(source, self._tag, whole)
        await create_overlay(overlay, whole, "qcow2")
        return replace(disk, source=self._layout.relative(whole), format="qcow2")

    async def _replay_from_the_start(self, qemu: str, log: Path, version: str) -> str:
        """Replay to the end, leaving the initial snapshot and the console; the guest's checksum near the end."""
        layout = self._layout
        disks = list(enumerate(self._invocation.disks))
        writable = [disk_node(index) for index, disk in disks if not disk.read_only]
        images = Images(
            plain_qcow2(_VMSTATE_NODE, layout.initial),
            [
                read_only_node(index, disk, layout.source(disk))
                if disk.read_only
                else plain_qcow2(disk_node(index), layout.disk(index))
                for index, disk in disks
            ],
        )
        command = first_replay_words(
            qemu, self._invocation, images, layout.bundled, log=layout.log, console=layout.console
        )
        files = opened_files(self._invocation, layout.bundled)
        confinement = await Confinement.of_recorder(self._invocation, layout, Path(qemu))
        command = [*command, *confinement.options()]
        confined = confinement.words(layout.root)
        try:
            replay = await FirstReplay.start(command, files, lambda icount: self._tell(1, icount), confined)
        except QemuLaunchError as error:
            raise QemuLaunchError(f"{error} (QEMU {version}; the log is of {self._writer()})") from None
        try:
            await replay.save(self._tag, [_VMSTATE_NODE, *writable])
            await replay.run_to(self._plain_end())
            digest = await replay.digest()
            await replay.run_to(self._end)
            await replay.quit()
            return digest
        except Divergence as error:
            raise Divergence(
                f"{log} does not belong to this command line and these files: in a replay {error}, of "
                f"{self._end:,}. Give the machine, the kernel and the QEMU that it was recorded with "
                f"(here {version}; the log is of {self._writer()}){self._advice_about_disks()}."
            ) from None
        finally:
            await replay.close()

    def _writer(self) -> str:
        return KNOWN_VERSIONS[self._summary.version]

    def _advice_about_disks(self) -> str:
        doubtful = [
            drive.disk.source
            for drive, disk in zip(self._drives(), self._invocation.disks, strict=True)
            if not drive.untouched and disk.source == drive.disk.source
        ]
        if not doubtful:
            return ""
        return (
            f", and with --image a copy of {' and '.join(doubtful)} from before the recording: without a snapshot "
            f"'{self._tag}' in it the disk was taken as it is now"
        )

    def _plain_end(self) -> int:
        return self._summary.deliveries.plain_at_or_before(self._end)

    def _write_manifest(self, qemu: str, version: str, log: Path) -> None:
        layout = self._layout
        bundled = [layout.bundled(file.name) for file in self._invocation.bundled]
        files = [layout.log, layout.initial, *bundled, *layout.root.glob("disks/*")]
        manifest = Manifest(
            created=utc(log.stat().st_mtime),
            rrdbg_version=package_version("rrdbg"),
            qemu_path=qemu,
            qemu_version=version,
            command=tuple(self._request.command),
            invocation=self._invocation,
            initial_tag=self._tag,
            icount=self._summary.total,
            end=self._end,
            ended=self._ended(),
            seconds=0.0,
            checksums={layout.relative(file): checksum(file) for file in files},
        )
        write_atomically(layout.deliveries, self._summary.to_bytes())
        manifest.write(layout.manifest)
        adopt(layout.root)

    async def _replay_from_the_snapshot(self, expected: str) -> None:
        """Replay once more, as all travelling does, measuring how long it takes, and compare."""
        try:
            found = await self._second_digest()
        except (*FAILURES, TimeoutError) as error:
            raise self._no_travelling(str(error) or "QEMU hangs while it loads the snapshot") from None
        if found != expected:
            raise self._no_travelling(f"registers or RAM differ at {self._plain_end():,}")

    async def _second_digest(self) -> str:
        with Recording.open(self._layout.root) as recording:
            launcher = await Launcher.create(recording)
            # A spacing that is never reached: QEMU 10 and 11 may hang when they save while a disk request waits for the
            # log, and then one could not tell whether the recording is sound.
            keeper = Keeper(launcher, Shelf(launcher, load_timeline(recording)), math.inf)
            try:
                async with asyncio.timeout(LOAD_SECONDS):
                    walker, _ = await launcher.start(keeper.timeline.snapshots[0], keeper.timeline)
                try:
                    await keeper.advance(walker, self._plain_end(), lambda icount: self._tell(2, icount))
                    return await monitor_digest(walker.machine.qmp, walker.machine.process.pid)
                finally:
                    await walker.machine.close()
            finally:
                keeper.shelf.close()
                await launcher.close()

    def _no_travelling(self, why: str) -> Divergence:
        lacking = " ".join(missing_flags(self._invocation))
        remedy = f" with {lacking} at record and replay" if lacking else ""
        return Divergence(
            f"The log replays from the machine's start, but not from a snapshot, so one cannot travel in it ({why}). "
            f"Record again{remedy}, or with 'rrdbg record'."
        )

    def _tell(self, number: int, icount: int) -> None:
        self._on_progress(ImportProgress(number, icount, self._end))
