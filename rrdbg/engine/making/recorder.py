"""Record a guest: run QEMU in record mode until something ends it, and leave a complete recording.

The recording ends by QMP ``quit`` in every case, since only then does QEMU write its log's header. The
manifest is written last: a directory without one is not a recording.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import BinaryIO

from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.machines.confined import Confinement
from rrdbg.engine.machines.disks import image_node, read_only_node
from rrdbg.engine.making.beginning import Beginning
from rrdbg.engine.making.late_packets import LatePackets
from rrdbg.engine.making.processors import check_processors, check_refusal
from rrdbg.engine.making.program import Program
from rrdbg.errors import QemuDied, QemuLaunchError, RecordingError, Stalled, UsageError
from rrdbg.links.images import create_empty, create_overlay, describe_image, image_format, plain_qcow2, snapshot_tags
from rrdbg.links.process import QemuProcess, find_qemu, qemu_version
from rrdbg.links.serial_line import SerialLine, TypedInput
from rrdbg.links.words import Images, disk_node, opened_files, record_words
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import Invocation, prepare
from rrdbg.model.machine.network import recorded_backends
from rrdbg.model.timeline.cost import CostMap, expected_rates
from rrdbg.model.timeline.deliveries import Deliveries
from rrdbg.model.timeline.fence import last_reachable
from rrdbg.model.timeline.position import Position
from rrdbg.store.files import checksum, write_atomically
from rrdbg.store.layout import Layout, make_directory
from rrdbg.store.logend import put_end_right
from rrdbg.store.manifest import Manifest
from rrdbg.store.recording import adopt
from rrdbg.store.replaylog import LogSummary, summarise

SPINNING_BYTES = 2_000_000
"""Bytes of log a second: 700,000 events. A Linux boot makes 0.5 MB, firmware that waits with ``pause`` 5 to 7."""

KEPT_FREE_BYTES = 32 << 20
"""A recording stops in good order when the disk has less than this left."""

_REASONS = {
    "guest-shutdown": "the guest powered off",
    "guest-reset": "the guest reset itself",
    "guest-panic": "the guest panicked",
}
_POLL_SECONDS = 0.05
_REACTION_SECONDS = 5.0
"""How long QEMU may take to answer when a recording is to end."""

_CONSOLE_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """What to record, where to, and when to stop; ``timeout`` in seconds, ``max_icount`` in instructions.

    ``tag`` is the initial snapshot's name, None for a recording without one; ``in_place`` lets the guest write to the
    user's own qcow2 images, which then hold that snapshot of their content. One that is ``passing`` is thrown away at
    once, and so is not noted as the user's; its guest sees nothing of the host, nor does anybody see it.
    ``until_console`` may be several texts, any of which ends it. Idle time takes as long as the guest thinks if it
    ``sleeps``, each disk takes at most ``disk_rate`` requests in a second, and packets come to the guest up to
    ``packets_late`` ms late. What is not ``noted`` as the user's can be adopted later. With a ``beginning`` it goes on
    from there, and sees nothing of the host.
    The ``program`` is found out about unless it is known.
    """

    command: Sequence[str]
    directory: Path
    shift: str = "5"
    tag: str | None = "replay_init"
    until_console: str | Sequence[str] | None = None
    timeout: float | None = None
    max_icount: int | None = None
    in_place: bool = False
    passing: bool = False
    sleeps: bool = True
    disk_rate: int | None = None
    packets_late: int | None = None
    beginning: Beginning | None = None
    program: Program | None = None
    noted: bool = True


@dataclass(frozen=True, slots=True)
class RecordProgress:
    """How far a recording is: instructions, seconds, bytes of log."""

    icount: int
    seconds: float
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished recording: where, how long in instructions, and why it ended.

    ``replay_seconds`` is what a replay of all of it will take, as far as the log tells; ``deliveries`` are its
    interrupts and exceptions.
    """

    directory: Path
    icount: int
    end: int
    seconds: float
    log_bytes: int
    ended: str
    replay_seconds: float
    deliveries: Deliveries

    @property
    def spins(self) -> bool:
        """Whether the guest waited in a loop: so many events make a replay slower than the recording was."""
        return self.log_bytes > SPINNING_BYTES * max(self.seconds, 1.0)


class Recorder:
    """One recording in the making; :meth:`run` makes it, :meth:`stop` ends it early.

    ``on_line`` is told where the other end of the guest's serial port is, if it is a pseudo terminal or a socket.
    """

    def __init__(
        self,
        request: RecordRequest,
        on_console: Callable[[bytes], None] = lambda data: None,
        on_progress: Callable[[RecordProgress], None] = lambda progress: None,
        on_line: Callable[[str], None] = lambda where: None,
    ) -> None:
        self._request = request
        self._layout = Layout(request.directory.absolute())
        self._on_console = on_console
        self._on_progress = on_progress
        self._on_line = on_line
        self._typed: TypedInput | None = None
        self._line: SerialLine
        self._ended: asyncio.Future[str]
        self._starting: asyncio.Task[object] | None = None
        self._console = bytearray()
        self._exited = False
        self._icount = 0
        self._cpu_seconds = 0.0
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0, tzinfo=None)
        self._created = now.isoformat()
        if request.beginning:
            invocation = replace(request.beginning.invocation, shift=request.shift)
        else:
            invocation = prepare(request.command, shift=request.shift, clock_base=self._created)
        invocation = replace(invocation, sleeps=request.sleeps)
        self.invocation: Invocation = invocation.without_host() if request.passing else invocation
        texts = (request.until_console,) if isinstance(request.until_console, str) else request.until_console or ()
        self._until = {text.encode(): text for text in texts}
        if request.in_place and request.tag is None:
            raise UsageError(
                "--in-place keeps the initial snapshot in your image, and --no-snapshot has none; use one."
            )

    @property
    def in_place(self) -> bool:
        """Whether the guest writes to the user's own images."""
        return self._request.in_place

    def stop(self, why: str) -> None:
        """End the recording in order, as soon as possible; before the guest runs, :meth:`run` raises Interrupted."""
        if not self._ended.done():
            self._ended.set_result(why)
            if self._starting:
                self._starting.cancel()

    def type(self, data: bytes) -> None:
        """Type ``data`` to the guest's first serial port; nothing happens where the user has none to type to."""
        if self._typed:
            self._typed.write(data)

    async def run(self) -> Recorded:
        """Record until something ends it.

        :raises UsageError: the directory exists already, or a file that the guest needs does not.
        :raises QemuLaunchError: QEMU did not start.
        :raises RecordingError: what QEMU left is not a complete recording.
        """
        self._ended = asyncio.get_running_loop().create_future()
        self._starting = asyncio.current_task()
        known = self._request.program
        qemu = known.path if known else find_qemu(self.invocation.binary)
        with interrupted_at(lambda: Position(self._icount), "a recording was being made, which is not kept"):
            version = known.version if known else await qemu_version(qemu)
            make_directory(self._layout)
            try:
                await self._bring_files()
                seconds = await self._record(qemu)
            except BaseException as error:
                shutil.rmtree(self._layout.root, ignore_errors=True)
                if isinstance(error, QemuDied | Stalled):
                    what = "The recording is incomplete, cannot be replayed, and was removed."
                    raise type(error)(f"{error} {what}") from None
                raise
            finally:
                self._starting = None
        return await self._finish(qemu, version, seconds)

    async def _bring_files(self) -> None:
        for file in self.invocation.bundled:
            try:
                shutil.copyfile(file.source, self._layout.bundled(file.name))
            except OSError as error:
                raise UsageError(f"Cannot read {file.source} (-{file.option}): {error.strerror}.") from None
        disks = [await self._located(disk) for disk in self.invocation.disks]
        if self._request.in_place and not any(disk.in_place for disk in disks):
            raise UsageError("--in-place needs a qcow2 image that the guest can write; there is none, so leave it out.")
        self.invocation = replace(self.invocation, disks=tuple(disks))
        for index, disk in enumerate(disks):
            if not disk.read_only and not disk.in_place:
                await create_overlay(self._layout.disk(index), Path(disk.source), str(disk.format))
        await create_empty(self._layout.initial)

    async def _located(self, disk: Disk) -> Disk:
        """``disk`` with its image's absolute path and its format, as a replay from anywhere needs them."""
        if not os.access(disk.source, os.R_OK):
            raise UsageError(f"Cannot read the disk image {disk.source}.")
        source = Path(disk.source).absolute()
        disk = replace(disk, source=str(source), format=disk.format or await image_format(source))
        if disk.backing is not None:
            disk = replace(disk, backing=str(Path(disk.backing).absolute()))
        if self._request.in_place and not disk.read_only:
            return await self._to_be_written(disk)
        return disk

    async def _to_be_written(self, disk: Disk) -> Disk:
        """``disk`` written in place, with what lies below it."""
        if disk.format != "qcow2" or not os.access(disk.source, os.W_OK):
            raise UsageError(
                f"--in-place needs qcow2 images that can be written, and {disk.source} is none; leave it out, "
                "or make one with qemu-img convert -O qcow2."
            )
        if self._request.tag in await snapshot_tags(Path(disk.source)):
            raise UsageError(
                f"{disk.source} has a snapshot {self._request.tag!r} already; name the new one with --snapshot NAME, "
                f"or delete that one: qemu-img snapshot -d {self._request.tag} {disk.source}"
            )
        if disk.backing is None:
            below = await describe_image(Path(disk.source))
            if below.backing:
                disk = replace(disk, backing=str(below.backing), backing_format=below.backing_format)
        return replace(disk, in_place=True)

    async def _record(self, qemu: str) -> float:
        images = Images(
            plain_qcow2("rrdbg-vmstate-file", self._layout.initial),
            [self._disk_node(index, disk) for index, disk in enumerate(self.invocation.disks)],
        )
        typed = self._prepare_typing() if self.invocation.line.types else None
        known = self._request.program
        confinement = await Confinement.of_recorder(
            self.invocation, self._layout, Path(qemu), known.measures if known else None
        )
        command = record_words(
            qemu, self.invocation, images, self._layout.bundled,
            log=self._layout.log, tag="" if self._request.beginning else self._request.tag or "",
            console=self._layout.console, typed=typed, waits=self._request.beginning is not None,
        )  # fmt: skip
        in_place = [self._layout.source(disk) for disk in self.invocation.disks if disk.in_place]
        confined = confinement.words(self._layout.root, write=in_place, by_itself=True)
        try:
            self._line = await SerialLine.open(self.invocation.line, self.type)
            try:
                self._on_line(self._line.where)
                async with LatePackets(self._delayed(), self._request.packets_late or 0) as packets:
                    words = [*command, *confinement.options(), *self._throttles(), *packets.options]
                    return await self._run(words, confined, packets.sockets)
            finally:
                await self._line.close()
        finally:
            if self._typed:
                self._typed.close()
                self._typed = None

    def _prepare_typing(self) -> Path:
        """The pair of files that QEMU takes for a pipe."""
        typed = self._layout.scratch / "typed"
        self._layout.scratch.mkdir(exist_ok=True)
        self._layout.console.touch()
        typed.with_suffix(".out").symlink_to(self._layout.console)
        self._typed = TypedInput(typed.with_suffix(".in"))
        return typed

    async def _run(self, command: Sequence[str], confined: Sequence[str], sockets: Sequence[socket.socket]) -> float:
        files = opened_files(self.invocation, self._layout.bundled)
        beginning = self._request.beginning
        state = [beginning.open(sleeps=self.invocation.sleeps)] if beginning else []
        try:
            process = await QemuProcess.start(command, sockets, files=files, passed=state, confined=confined)
        except QemuLaunchError as error:
            check_refusal(error)
            raise
        finally:
            for file in state:
                os.close(file)
        began = time.monotonic()
        try:
            await check_processors(process)
            if beginning:
                await beginning.load(process, state[0], self._request.tag or "")
            with self._layout.console.open("rb") as console:
                try:
                    await process.guard(self._ending_at_once(self._until_ended(process, began, console)))
                except QemuDied:
                    # A device may end QEMU by exit(0), as riscv's test finisher does: QEMU then completes the log.
                    if await process.ended() != 0:
                        raise
                    self._exited = True
                    self.stop("QEMU ended by itself, with status 0")
                seconds = time.monotonic() - began
                self._cpu_seconds = process.cpu_seconds()
                await process.quit()
                self._read_console(console)
        finally:
            await process.kill()
        return seconds

    async def _ending_at_once(self, work: Coroutine[object, object, None]) -> None:
        """Await ``work``, which is over soon once the recording is to end, unless QEMU hangs.

        :raises Stalled: it does.
        """
        task = asyncio.create_task(work)
        try:
            await asyncio.wait((task, self._ended), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((task,), timeout=_REACTION_SECONDS)
            if not task.done():
                raise Stalled(f"QEMU has not reacted for {_REACTION_SECONDS:.0f} s, and was ended.")
            task.result()
        finally:
            task.cancel()

    def _delayed(self) -> Sequence[str]:
        late = self._request.packets_late is not None
        return recorded_backends(self.invocation.machine_words()) if late else ()

    def _throttles(self) -> list[str]:
        rate = self._request.disk_rate
        groups = (
            f"throttle-group,id={_throttle(index)},x-iops-total={rate}" for index in range(len(self.invocation.disks))
        )
        return [] if rate is None else [word for group in groups for word in ("-object", group)]

    def _disk_node(self, index: int, disk: Disk) -> dict[str, object]:
        node = self._plain_node(index, disk)
        if self._request.disk_rate is None or disk.waits:
            return node
        # Beneath blkreplay, which notes when each request has come back: a replay needs no filter.
        above = {"driver": "throttle", "node-name": node.pop("node-name"), "read-only": disk.read_only}
        return {**above, "throttle-group": _throttle(index), "file": node}

    def _plain_node(self, index: int, disk: Disk) -> dict[str, object]:
        if disk.read_only:
            return read_only_node(index, disk, Path(disk.source))
        written = self._layout.written(index, disk)
        if self._request.tag is None:
            # Nothing will lead back to the disk's beginning: the overlay that is kept stays empty.
            self._layout.scratch.mkdir(exist_ok=True)
            written = Path(shutil.copyfile(written, self._layout.scratch / written.name))
        node = plain_qcow2(disk_node(index), written, flushed=disk.in_place)
        return {**node, "backing": image_node(disk, Path(disk.source))}

    def _read_console(self, file: BinaryIO) -> None:
        kept = max(map(len, self._until), default=0)
        while data := file.read(_CONSOLE_CHUNK):
            self._on_console(data)
            self._line.write(data)
            if self._until:
                self._console += data
                found = [(place, text) for text in self._until if (place := self._console.find(text)) >= 0]
                if found:
                    self.stop(f"the console printed {self._until[min(found)[1]]!r}")
                del self._console[:-kept]

    async def _until_ended(self, process: QemuProcess, began: float, console: BinaryIO) -> None:
        request = self._request
        async with process.qmp.events("SHUTDOWN", "GUEST_PANICKED") as events:
            shutdown = asyncio.create_task(events.get())
            try:
                self._starting = None
                await self._somebody_is_there()
                # Only now: a guest may end within some milliseconds, and its end must not be missed.
                await process.qmp.resume()
                while not self._ended.done():
                    await asyncio.wait(
                        (shutdown, self._ended), timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    self._read_console(console)
                    seconds = time.monotonic() - began
                    icount = self._icount = await process.qmp.icount()
                    self._on_progress(RecordProgress(icount, seconds, self._layout.log.stat().st_size))
                    if shutdown.done():
                        self.stop(_shutdown_reason(shutdown.result()))
                    elif request.timeout is not None and seconds >= request.timeout:
                        self.stop(f"the timeout of {request.timeout:g} s")
                    elif request.max_icount is not None and icount >= request.max_icount:
                        self.stop(f"{request.max_icount:,} instructions were reached")
                    elif shutil.disk_usage(self._layout.root).free < KEPT_FREE_BYTES:
                        self.stop(f"the disk is almost full (less than {KEPT_FREE_BYTES >> 20} MiB left)")
            finally:
                shutdown.cancel()

    async def _somebody_is_there(self) -> None:
        """Wait for the client that a listening serial port is to have before the guest starts."""
        there = asyncio.create_task(self._line.connected.wait())
        try:
            await asyncio.wait((there, self._ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()

    async def _finish(self, qemu: str, version: str, seconds: float) -> Recorded:
        layout = self._layout
        summary = self._summary()
        shutil.rmtree(layout.scratch, ignore_errors=True)
        if self._request.tag is not None:
            await self._check_initial(self._request.tag)
        files = [layout.log, layout.initial, *layout.root.glob("files/*"), *layout.root.glob("disks/*")]
        end = last_reachable(
            summary.total,
            [(item.icount, item.is_reset) for item in summary.shutdowns],
            reboots=self.invocation.reboots,
            exited=self._exited,
        )
        ended = self._ended.result()
        manifest = Manifest(
            created=self._created,
            rrdbg_version=package_version("rrdbg"),
            qemu_path=qemu,
            qemu_version=version,
            command=tuple(self._request.command),
            invocation=self.invocation,
            initial_tag=self._request.tag or "",
            icount=summary.total,
            end=end,
            ended=ended,
            seconds=round(seconds, 3),
            checksums={layout.relative(file): checksum(file) for file in files},
            cpu_seconds=round(self._cpu_seconds, 3),
            begins_in=self._request.beginning.place if self._request.beginning else "",
        )
        write_atomically(layout.deliveries, summary.to_bytes())
        manifest.write(layout.manifest)
        if self._request.noted and not self._request.passing:
            adopt(layout.root)
        rates = expected_rates(summary.total, summary.size_bytes, self._cpu_seconds or seconds)
        expected = CostMap((), summary.profile, rates).seconds(0, end)
        return Recorded(
            layout.root, summary.total, end, seconds, summary.size_bytes, ended, expected, summary.deliveries
        )

    async def _check_initial(self, tag: str) -> None:
        tags = await snapshot_tags(self._layout.initial)
        if tags.get(tag) != 0:
            raise RecordingError(
                f"QEMU saved no snapshot {tag!r} at the start (found: {tags or 'none'}); "
                f"the recording in {self._layout.root} cannot be replayed."
            )

    def _summary(self) -> LogSummary:
        try:
            return put_end_right(self._layout.log, summarise(self._layout.log))
        except RecordingError as error:
            raise RecordingError(
                f"QEMU left an incomplete log ({error}); the disk may be full. {self._layout.root} cannot be replayed."
            ) from None


def _throttle(index: int) -> str:
    return f"rrdbg-throttle{index}"


def _shutdown_reason(event: object) -> str:
    data = event.get("data") if isinstance(event, Mapping) else None
    reason = data.get("reason") if isinstance(data, Mapping) else None
    return _REASONS.get(str(reason), "the guest panicked" if reason is None else f"QEMU ended ({reason})")
