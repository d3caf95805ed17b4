"""One QEMU in replay mode: a machine that can only go forward, from one snapshot on.

Invariant: between calls the guest is stopped. A run is fenced by QEMU's replay breakpoint, of which there
is one and which each stop that it causes deletes; :class:`Machine` keeps account of it.

At most stops the same is asked as at the one before: position, registers, the memory that a condition reads. So with
the first question at a stop go those of the last one where any was asked, and are answered in one exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rrdbg.errors import Divergence, QemuDied, QmpError, RspError, Stalled
from rrdbg.links.process import QemuProcess, is_stopped, socket_pair
from rrdbg.links.qmp import QmpLink
from rrdbg.links.registers import RegisterFile, read_description, register_file
from rrdbg.links.rsp import RspClient, StopReply, monitor_packet
from rrdbg.links.unbroken import unbroken
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind, Watchpoint

PATIENCE_SECONDS = 20.0
"""How long a running guest may stand at one icount before it counts as derailed; idle time is skipped in replay."""

_POLL_SECONDS = 0.2
_CHUNK_BYTES = 1024
_CODE_BLOCK = 64
_INTERRUPT = 2
_INSTRUCTION_COUNT = re.compile(r"instruction count = (\d+)")
# A line holds eight bytes; the rest of a longer instruction has one of its own, without the two spaces and a text.
_INSTRUCTION = re.compile(r"^0x([0-9a-f]+):  (?:[0-9a-f]{2,8} )+ +(\S.*?)\r?$", re.MULTILINE)
_CODE_SEGMENT = re.compile(r"^CS =[0-9a-f]{4} ([0-9a-f]+)", re.MULTILINE)
_POSITION = monitor_packet("info replay")
_REGISTERS = b"g"
_MOST_USUAL = 16
"""Questions at a stop that are remembered for the next one."""

_WATCH_PACKET = {WatchKind.WRITE: "2", WatchKind.READ: "3", WatchKind.ACCESS: "4"}

ProgressCallback = Callable[[int], None]


class Process(Protocol):
    """What a machine needs of the QEMU that it runs in."""

    @property
    def qmp(self) -> QmpLink:
        """Its QMP link."""

    @property
    def pid(self) -> int:
        """The process id; 0 if it is not known."""

    @property
    def alive(self) -> bool:
        """False once it serves this machine no more."""

    @property
    def remedy(self) -> str:
        """What the user can do when the replay no longer follows its log, as the end of a sentence."""

    async def kill(self) -> None:
        """Take it away from the machine; harmless if that has happened already."""

    async def death(self) -> QemuDied:
        """The error that tells what became of it, once a connection to it has broken."""


class Machine:
    """A replaying QEMU; start it with :meth:`start`, end it with :meth:`close`."""

    def __init__(self, process: Process, rsp: RspClient, directory: Path) -> None:
        self.process = process
        self.directory = directory
        self._rsp = rsp
        self._registers: RegisterFile
        self._description: dict[str, str]
        self._fence: int | None = None
        self._seen = 0
        self._at_most: float = math.inf
        self._known: dict[bytes, bytes] = {}
        self._asked: list[bytes] = []
        self._usual: list[bytes] = []
        self._watchpoints: list[Watchpoint] = []
        self._blocks: dict[tuple[int | None, int], bytes] = {}
        self._second_stop: tuple[int, bytes] | None = None
        self.patience = PATIENCE_SECONDS
        """Seconds that a running guest may stand at one icount."""

    @classmethod
    async def start(
        cls, command: Callable[[int], Sequence[str]], directory: Path, files: Mapping[int, Path] | None = None
    ) -> Machine:
        """Start QEMU with ``command(fd of its gdbstub's socket)`` and wait until it stands at its snapshot.

        ``directory`` holds files of this machine alone; it goes when the machine goes. ``files`` are those that QEMU
        finds opened, by number.

        :raises QemuLaunchError: it did not start, or could not load the snapshot.
        """
        ours, theirs = socket_pair()
        try:
            process = await QemuProcess.start(command(theirs.fileno()), [theirs], files=files)
        except BaseException:
            ours.close()
            theirs.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        try:
            ours.setblocking(False)
            rsp = RspClient(*await asyncio.open_unix_connection(sock=ours))
        except BaseException:
            ours.close()
            await process.kill()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return await cls.over(process, rsp, directory)

    @classmethod
    async def over(cls, process: Process, rsp: RspClient, directory: Path) -> Machine:
        """The machine in the stopped QEMU ``process``, whose gdbstub ``rsp`` is connected to.

        :raises RspError: the stub does not describe its registers.
        """
        machine = cls(process, rsp, directory)
        try:
            architecture, machine._description = await read_description(rsp)
            machine._registers = register_file(architecture, machine._description)
        except BaseException:
            await machine.close()
            raise
        return machine

    @property
    def qmp(self) -> QmpLink:
        """Its QMP link."""
        return self.process.qmp

    @property
    def description(self) -> dict[str, str]:
        """The gdbstub's target description: XML documents by name, ``target.xml`` among them."""
        return self._description

    @property
    def register_file(self) -> RegisterFile:
        """The layout of :meth:`register_packet`."""
        return self._registers

    @property
    def usable(self) -> bool:
        """False once the process has ended, or the connection to its gdbstub can no longer be trusted."""
        return self.process.alive and not self._rsp.broken

    async def close(self) -> None:
        """End the process and remove its directory, all of it even if we are cancelled meanwhile."""
        await unbroken(self._close())

    async def _close(self) -> None:
        try:
            await self.process.kill()
        finally:
            await self._rsp.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    async def icount(self) -> int:
        """Instructions executed since the start of the recording.

        Asked through the gdbstub's monitor: 0.07 ms there, 0.5 ms over QMP.
        """
        text = (await self._look(_POSITION)).decode(errors="replace")
        found = _INSTRUCTION_COUNT.search(text)
        if found is None:
            raise RspError(f"QEMU is not replaying: 'info replay' printed {text.strip()!r}.")
        self._seen = int(found[1])
        self._at_most = self._seen
        return self._seen

    async def monitor(self, line: str) -> str:
        """Run a human-monitor command while the guest is stopped, and return what it printed."""
        self._known.clear()
        try:
            return await self._rsp.monitor(line)
        except QemuDied:
            raise await self.process.death() from None

    async def run_to(self, icount: int, on_progress: ProgressCallback | None = None) -> StopReply:
        """Run until ``icount`` instructions are executed, or a breakpoint or watchpoint fires before that.

        A breakpoint on the instruction at ``icount`` itself does not fire.

        :raises Divergence: the guest runs but its icount does not move.
        """
        self._blocks.clear()
        return await self._go_on("c", icount, on_progress)

    async def step(self, fence: int) -> StopReply:
        """Execute one instruction, or take one interrupt or exception; never run past icount ``fence``.

        :raises Divergence: as for :meth:`run_to`.
        """
        # A fence costs an exchange over QMP, more than the step: one that stands further ahead may stay.
        if self._fence is not None and self._fence > self._at_most + 1:
            fence = self._fence
        at_most = self._at_most + 1
        reply = await self._go_on("s", fence, None)
        self._at_most = min(self._at_most, at_most)
        if reply.watched and not self._registers.stops_before_access:
            self._second_stop = await self._state()
        return reply

    async def behind_pause(self) -> int | None:
        """The address behind the next instruction, if that is one that QEMU steps over together with the one there."""
        pauses = self._registers.pauses
        if not pauses:
            return None
        self._check_not_stopped()
        packet, pc = await self.register_packet(), await self.pc()
        code = await self._code(self._registers.address_space(packet), pc, max(map(len, pauses)))
        return next((pc + len(pause) for pause in pauses if code.startswith(pause)), None)

    async def step_exactly(self, icount: int) -> StopReply:
        """As :meth:`step`, but never past ``icount``: a fence that costs more than the step.

        :raises Divergence: as for :meth:`run_to`.
        """
        return await self._go_on("s", icount, None)

    async def _code(self, space: int | None, address: int, length: int) -> bytes:
        """The bytes at ``address``, fewer where no more are mapped; blocks are kept as long as they may stay."""
        start = address - address % _CODE_BLOCK
        parts = []
        for block in range(start, address + length, _CODE_BLOCK):
            answer = self._blocks.get((space, block)) or await self._ask(f"m{block:x},{_CODE_BLOCK:x}")
            if space is not None:
                self._blocks[space, block] = answer
            if len(answer) != 2 * _CODE_BLOCK:
                break
            parts.append(bytes.fromhex(answer.decode()))
        return b"".join(parts)[address - start :]

    async def _go_on(self, action: str, fence: int, on_progress: ProgressCallback | None) -> StopReply:
        """Resume, past the second stop that a single step makes which set off a watchpoint.

        QEMU 7.2 nearly always stops once more then at the next resume, without any progress, but not always.
        """
        reply = await self._resume(action, fence, on_progress)
        if self._registers.stops_before_access:
            if reply.watched:
                await self._make_access(fence)
            return reply
        stood, self._second_stop = self._second_stop, None
        if stood and reply.signal != _INTERRUPT and stood == await self._state():
            reply = await self._resume(action, fence, on_progress)
        return reply

    async def _make_access(self, fence: int) -> None:
        """Step over the instruction that a watchpoint has stopped; with the watchpoint set QEMU never begins it."""
        watchpoints = list(self._watchpoints)
        for point in watchpoints:
            await self.remove(point)
        await self._resume("s", fence, None)
        for point in watchpoints:
            await self.insert(point)

    async def _state(self) -> tuple[int, bytes]:
        """What differs after any instruction or delivery."""
        return await self.icount(), await self.register_packet()

    async def register_packet(self) -> bytes:
        """All registers, as the hexadecimal digits of a ``g`` packet."""
        return await self._look(_REGISTERS)

    async def registers(self) -> dict[str, int]:
        """All registers by name."""
        return self._registers.decode(await self.register_packet())

    async def pc(self) -> int:
        """The linear address of the next instruction, as breakpoints count it.

        On x86 outside long mode that is CS's base + EIP, and only the monitor tells the base.
        """
        packet = await self.register_packet()
        linear = self._registers.linear_pc(packet)
        if linear is not None:
            return linear
        pc = self._registers.decode(packet)[self._registers.pc]
        text = await self.monitor("info registers")
        base = _CODE_SEGMENT.search(text)
        return (int(base[1], 16) + pc) & 0xFFFF_FFFF if base else pc

    async def disassemble(self, address: int, count: int) -> list[tuple[int, str]]:
        """``count`` instructions from a virtual address, as (address, text); empty where nothing is mapped.

        QEMU disassembles if it was built with capstone, as Debian's is.
        """
        text = await self.monitor(f"x /{count}i {address:#x}")
        return read_disassembly(text)

    async def read_memory(self, address: int, length: int) -> bytes:
        """Read guest memory at a virtual (linear) address.

        :raises RspError: not all of it is mapped.
        """
        parts = []
        for offset in range(0, length, _CHUNK_BYTES):
            size = min(_CHUNK_BYTES, length - offset)
            answer = await self._look(f"m{address + offset:x},{size:x}".encode())
            if len(answer) != 2 * size:
                raise RspError(f"Cannot read {length} bytes of guest memory at {address:#x}: not mapped here.")
            parts.append(bytes.fromhex(answer.decode()))
        return b"".join(parts)

    async def read_physical(self, address: int, length: int) -> bytes:
        """Read guest memory at a physical address.

        :raises RspError: there is none, or QEMU cannot (``Qqemu.PhyMemMode``).
        """
        if await self._ask("Qqemu.PhyMemMode:1") != b"OK":
            raise RspError("This QEMU's gdbstub cannot read physical memory.")
        self._forget()
        try:
            return await self.read_memory(address, length)
        finally:
            await self._ask("Qqemu.PhyMemMode:0")
            self._forget()

    async def insert(self, point: Point) -> None:
        """Make QEMU stop at a breakpoint or watchpoint.

        :raises RspError: QEMU refuses it.
        """
        await self._set("Z", point)
        if isinstance(point, Watchpoint):
            self._watchpoints.append(point)

    async def remove(self, point: Point) -> None:
        """Take it away again."""
        await self._set("z", point)
        if isinstance(point, Watchpoint):
            self._watchpoints.remove(point)

    async def _set(self, verb: str, point: Point) -> None:
        if isinstance(point, Breakpoint):
            packet = f"{verb}0,{point.address:x},1"
        else:
            packet = f"{verb}{_WATCH_PACKET[point.kind]},{point.address:x},{point.length:x}"
        answer = await self._ask(packet)
        if answer != b"OK":
            raise RspError(f"QEMU refused {point} ({answer.decode('latin-1') or 'not supported'}).")

    async def exchange(self, packet: bytes) -> bytes:
        """Send any packet that does not set the guest going, and return its answer; it may change the guest."""
        self._forget()
        return await self._ask(packet)

    async def let_go(self, action: str) -> StopReply:
        """Resume by ``c`` or ``s`` without a fence or a watchdog: for a guest that follows no log.

        If this is cancelled the guest is stopped first.
        """
        self._forget()
        waiting = asyncio.ensure_future(self._rsp.stopped())
        self._rsp.resume(action)
        try:
            return await asyncio.shield(waiting)
        except QemuDied:
            raise await self.process.death() from None
        except BaseException:
            await self._halt(waiting)
            raise

    async def _look(self, packet: bytes) -> bytes:
        """The answer to a question that stays the same until the guest goes on."""
        if packet in self._known:
            answer = self._known[packet]
        else:
            ahead = [] if self._asked else [usual for usual in self._usual if usual != packet]
            try:
                answer, *others = await self._rsp.exchange_all([packet, *ahead])
            except QemuDied:
                raise await self.process.death() from None
            self._known |= zip(ahead, others, strict=True)
        if packet not in self._asked and len(self._asked) < _MOST_USUAL:
            self._asked.append(packet)
            self._known[packet] = answer
        return answer

    def _turn_over(self) -> None:
        """The guest goes on: what is known of it no longer holds, but what was asked will be asked again."""
        self._usual, self._asked = self._asked or self._usual, []
        self._known.clear()

    def _forget(self) -> None:
        """Something else may change the guest, or the meaning of a question: ask no more than is wanted."""
        self._blocks.clear()
        self._usual, self._asked = [], []
        self._known.clear()

    async def _ask(self, packet: str | bytes) -> bytes:
        try:
            return await self._rsp.exchange(packet)
        except QemuDied:
            raise await self.process.death() from None

    async def _resume(self, action: str, fence: int, on_progress: ProgressCallback | None) -> StopReply:
        try:
            if self._fence != fence:
                self._check_not_stopped()  # QMP would wait for a minute
                await self.qmp.break_at(fence)
                self._fence = fence
            while True:
                self._at_most = fence
                self._turn_over()
                self._rsp.resume(action)
                reply = await self._watch(on_progress)
                if reply.signal != _INTERRUPT:
                    return reply
                reached = await self.icount()
                if reached >= fence:
                    self._fence = None
                    return reply
                # A replay breakpoint's timer may fire late, after a stop for another reason at its icount;
                # it then interrupts the next run, and has deleted the fence.
                await self.qmp.break_at(fence)
        except QemuDied:
            raise await self.process.death() from None
        except QmpError as error:
            raise Divergence(f"The replay cannot go on: {error}") from None

    def _check_not_stopped(self) -> None:
        if is_stopped(self.process.pid):
            raise Stalled(
                f"QEMU (pid {self.process.pid}) was stopped by a signal, such as SIGSTOP; {self.process.remedy}."
            )

    async def _watch(self, on_progress: ProgressCallback | None) -> StopReply:
        seen, since = -1, time.monotonic()
        began = self._seen
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        return await self._rsp.stopped()
                self._check_not_stopped()
                icount = await self.qmp.icount()
                now = time.monotonic()
                if icount < began:
                    raise Divergence(
                        f"The replay fell back from {began:,} to {icount:,}, and no longer follows its log; "
                        f"{self.process.remedy}."
                    )
                if icount != seen:
                    seen, since = icount, now
                elif now - since > self.patience:
                    raise Divergence(
                        f"The replay stands still at {icount:,}: the guest is running, but for "
                        f"{self.patience:.0f} s it has executed nothing. It no longer follows its log; "
                        f"{self.process.remedy}."
                    )
                if on_progress:
                    on_progress(icount)
        except BaseException:
            await self._halt(self._rsp.stopped())
            raise

    async def _halt(self, waiting: Awaitable[StopReply]) -> None:
        """Stop the guest wherever it is, so that the invariant holds; end a QEMU that does not obey."""
        self._fence = None
        try:
            self._rsp.interrupt()
            await asyncio.wait_for(waiting, _POLL_SECONDS * 25)
        except (TimeoutError, Stalled, QemuDied, RspError):
            await self.process.kill()


def read_disassembly(text: str) -> list[tuple[int, str]]:
    """The instructions that ``x /NNNi`` of QEMU's monitor has printed, as (address, text)."""
    return [(int(line[1], 16), " ".join(line[2].split())) for line in _INSTRUCTION.finditer(text)]
