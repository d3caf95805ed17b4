"""QEMU's own reverse execution: ``bs``, ``bc`` and ``replay-seek``, with one snapshot or with many in one image."""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.guests import Guest
from benchmarks.places import FALSE_HITS, Condition, Place
from benchmarks.points import words_of
from benchmarks.rival import Wrong
from rrdbg.errors import LinkError, RspError
from rrdbg.links.images import plain_qcow2
from rrdbg.links.mi import Gdb
from rrdbg.links.process import QemuProcess, find_qemu
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.links.registers import RegisterFile, read_description, register_file
from rrdbg.links.rsp import RspClient
from rrdbg.links.words import Images, opened_files, replay_words
from rrdbg.model.hits.stop import Breakpoint, Point
from rrdbg.model.timeline.line import Timeline
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline

_NODE = "rrdbg-vmstate-file"
_POLL_SECONDS = 0.002
_ALIVE_SECONDS = 3.0
_LATER = 20_000
"""Instructions after which a snapshot is tried again that QEMU would not save."""


class Native:
    """A QEMU that replays the guest's recording, its gdbstub at a socket of its own.

    Its image has the snapshot of the start alone, or with ``snapshots`` also one at each place where rrdbg's recording
    has one, as ``savevm`` makes them while QEMU replays.
    """

    def __init__(self, guest: Guest, *, snapshots: bool) -> None:
        self.name = "native, our snapshots" if snapshots else "native"
        self._guest = guest
        self._snapshots = snapshots
        self._folder = Path(tempfile.mkdtemp(prefix="rrdbg-bench-", dir=guest.recording.parent))
        self._image = self._folder / "snapshots.qcow2"
        # Not beside the recording: a socket's path may have 107 bytes.
        self._sockets = tempfile.TemporaryDirectory(prefix="rrdbg-bench-")
        self._socket = str(Path(self._sockets.name) / "socket")
        self._process: QemuProcess | None = None
        self._client: RspClient | None = None
        self._registers: RegisterFile

    async def open(self) -> None:
        """Start QEMU on the snapshot of the start; before the first time, make its image."""
        with Recording.open(self._guest.recording) as recording:
            timeline = load_timeline(recording)
            first = not self._image.exists()
            if first:
                shutil.copyfile(recording.layout.initial, self._image)
            files = opened_files(recording.manifest.invocation, recording.layout.bundled)
            self._process = await QemuProcess.start(self._command(recording), files=files)
        await self._connect()
        self._registers = register_file(*await read_description(self._packets))
        if first and self._snapshots:
            await self._save(timeline)

    def _command(self, recording: Recording) -> list[str]:
        invocation = recording.manifest.invocation
        if invocation.disks:
            raise SystemExit("The benchmarks are for guests without disks.")
        words = replay_words(
            find_qemu(invocation.binary), invocation, Images(plain_qcow2(_NODE, self._image), []),
            recording.layout.bundled, log=recording.layout.log, tag=recording.manifest.initial_tag, gdb_fd=0,
        )  # fmt: skip
        here = words.index("socket,id=rrdbg-gdb,fd=0")
        return [*words[:here], f"socket,id=rrdbg-gdb,path={self._socket},server=on,wait=off", *words[here + 1 :]]

    async def _save(self, timeline: Timeline) -> None:
        for snapshot in timeline.snapshots[1:]:
            goal = snapshot.icount
            while True:
                await self._running.qmp.break_at(goal)
                self._packets.resume("c")
                await self._packets.stopped()
                try:
                    await self._running.qmp.save_snapshot(snapshot.tag, _NODE, [_NODE])
                    break
                except SnapshotNotNow:
                    goal = timeline.deliveries.plain_after(goal + _LATER)

    @property
    def _running(self) -> QemuProcess:
        assert self._process is not None, "it is open"
        return self._process

    @property
    def _packets(self) -> RspClient:
        assert self._client is not None, "nobody else is connected"
        return self._client

    async def _connect(self) -> None:
        self._client = RspClient(*await asyncio.open_unix_connection(self._socket))

    async def close(self) -> None:
        """Kill QEMU: it may hang."""
        if self._process:
            process, self._process = self._process, None
            await process.kill()
        if self._client:
            client, self._client = self._client, None
            await client.close()

    def remove(self) -> None:
        """Remove the image."""
        self._sockets.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def where(self) -> Place:
        """Where it stands."""
        pc = self._registers.value(await self._packets.exchange("g"), self._registers.pc)
        return Place(await self._running.qmp.icount(), pc)

    async def seek(self, icount: int) -> None:
        """``replay-seek``, which loads the nearest snapshot by itself, also forward; its end QEMU does not tell."""
        qmp = self._running.qmp
        await qmp.execute("replay-seek", icount=icount)
        while await qmp.icount() != icount or await qmp.run_state() == "running":  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        # QEMU 7.2 sends a stop reply then that nobody has asked for: an exchange drops it.
        await self._packets.exchange("qC")

    async def step_back(self) -> None:
        """One ``bs``."""
        await self._move("bs")

    async def run_back(self, point: Point) -> None:
        """One ``bc``."""
        await self._packets.command("Z" + words_of(point))
        await self._move("bc")
        await self._packets.command("z" + words_of(point))

    async def run_back_where(self, address: int, condition: Condition, seconds: float) -> float:
        """What GDB does: ``bc`` again and again, looking at the guest each time."""
        until = time.monotonic() + seconds
        point = words_of(Breakpoint(1, address))
        await self._packets.command("Z" + point)
        false = 0
        while True:
            await self._move("bc")
            if (await self.where()).pc != address:
                raise Wrong("missed the hit")
            if await self._holds(condition):
                break
            false += 1
            if time.monotonic() > until:
                break
        await self._packets.command("z" + point)
        return 1.0 if false >= FALSE_HITS else false / FALSE_HITS

    async def bisect(self, condition: Condition, end: int, seconds: float) -> float:
        """By halving with ``replay-seek``, as a script would."""
        until = time.monotonic() + seconds
        low, high, probes = 0, end, 0
        while high - low > 1:
            if time.monotonic() > until:
                return probes / math.ceil(math.log2(end))
            middle = (low + high) // 2
            await self.seek(middle)
            probes += 1
            if await self._holds(condition):
                high = middle
            else:
                low = middle
        await self.seek(high)
        return 1.0

    async def _holds(self, condition: Condition) -> bool:
        answer = await self._packets.exchange(f"m{condition.address:x},{condition.length:x}")
        return len(answer) == 2 * condition.length and condition.holds(bytes.fromhex(answer.decode()))

    @asynccontextmanager
    async def gdb(self) -> AsyncIterator[Gdb]:
        """A GDB on QEMU's stub; our own client gives way to it."""
        await self._packets.close()
        self._client = None
        gdb = await Gdb.start("gdb", str(self._guest.symbols))
        try:
            await self._prepare(gdb)
            await gdb.console(f"target remote {self._socket}")
            yield gdb
            # Without this it would kill QEMU when it goes.
            await gdb.console("disconnect")
        finally:
            await gdb.close()
        await self._connect()

    async def _prepare(self, gdb: Gdb) -> None:
        """Nothing needs to be set."""

    async def trouble(self) -> str:
        """Whether QEMU answers, and whether it gets anywhere."""
        qmp = self._running.qmp
        try:
            async with asyncio.timeout(_ALIVE_SECONDS):
                before = await qmp.icount()
                await asyncio.sleep(1.0)
                moved = await qmp.icount() != before
        except TimeoutError:
            return "deadlocks"
        except LinkError:
            return "QEMU dies"
        return "no answer" if moved else "stands still"

    def pids(self) -> list[int]:
        """QEMU."""
        return [self._process.pid] if self._process else []

    def disk_bytes(self) -> int:
        """The image."""
        return self._image.stat().st_blocks * 512

    async def _move(self, packet: str) -> None:
        self._packets.resume(packet)
        try:
            await self._packets.stopped()
        except RspError as error:
            raise Wrong("refuses") from error
