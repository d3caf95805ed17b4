"""One QEMU in replay mode: a machine that can only go forward, from one snapshot on.

Invariant: between calls the guest is stopped. Each run ends at a fence (:mod:`rrdbg.links.fence`), and is watched
(:mod:`rrdbg.links.watchdog`).
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from rrdbg.errors import Divergence, QemuDied, QmpError, RspError
from rrdbg.links.fence import Fence
from rrdbg.links.process import QemuProcess, socket_pair
from rrdbg.links.qmp import QmpLink
from rrdbg.links.questions import Questions
from rrdbg.links.registers import RegisterFile, read_description, register_file
from rrdbg.links.rsp import RspClient, StopReply, monitor_packet
from rrdbg.links.scheduling import Processors
from rrdbg.links.unbroken import unbroken
from rrdbg.links.watchdog import Process, ProgressCallback, Watchdog
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind, Watchpoint
from rrdbg.model.program.code_mode import CodeMode, CodeSegment, read_code_segment, read_segment_bases

ReadMemory = Callable[[int, int], Awaitable[bytes]]
"""Reads so many bytes at a virtual address; raises RspError where not all of them are mapped."""

_READ_BYTES = 1024
"""Where QEMU's disassembler, at its first instruction, ends what it reads."""
_LONGEST_INSTRUCTION = 15
_CHUNK_BYTES = 1024
_CODE_BLOCK = 64
_INTERRUPT = 2
_INSTRUCTION_COUNT = re.compile(r"instruction count = (\d+)")
# A line holds eight bytes; the rest of a longer instruction has one of its own, without the two spaces and a text.
_INSTRUCTION = re.compile(r"^0x([0-9a-f]+):  (?:[0-9a-f]{2,8} )+ +(\S.*?)\r?$", re.MULTILINE)
_POSITION = monitor_packet("info replay")
_CPU = monitor_packet("info registers")
_REGISTERS = b"g"
_WATCH_PACKET = {WatchKind.WRITE: "2", WatchKind.READ: "3", WatchKind.ACCESS: "4"}


def unreadable(address: int, length: int) -> RspError:
    """Why so many bytes of guest memory at ``address`` cannot be read."""
    return RspError(f"Cannot read {length} bytes of guest memory at {address:#x}: not mapped here.")


class Machine:
    """A replaying QEMU; start it with :meth:`start`, end it with :meth:`close`."""

    def __init__(self, process: Process, rsp: RspClient, directory: Path) -> None:
        self.process = process
        self.directory = directory
        self._rsp = rsp
        self._registers: RegisterFile
        self._description: dict[str, str]
        self._fence = Fence(rsp)
        self._questions = Questions(rsp)
        self._watchdog = Watchdog(process, rsp)
        self._seen = 0
        self._at_most: float = math.inf
        self._watchpoints: list[Watchpoint] = []
        self._blocks: dict[tuple[int | None, int], bytes] = {}
        self._long_selectors: set[int] = set()
        self._second_stop: tuple[int, bytes] | None = None
        self.roots: dict[int, int] = {}
        """Roots of page tables and the address space that each stands for, as far as it was found out."""

    @classmethod
    async def start(
        cls,
        command: Callable[[int], Sequence[str]],
        directory: Path,
        files: Mapping[int, Path] | None = None,
        processors: Processors | None = None,
        passed: Sequence[int] = (),
        confined: Sequence[str] = (),
    ) -> Machine:
        """Start QEMU with ``command(fd of its gdbstub's socket)`` and wait until it stands at its snapshot.

        ``directory`` holds files of this machine alone; it goes when the machine goes. ``files`` are those that QEMU
        finds opened, by number. ``processors`` are those of which it keeps to one whenever it runs;
        the file descriptors ``passed`` stay open in it. It is ``confined`` by those words.

        :raises QemuLaunchError: it did not start, or could not load the snapshot.
        """
        ours, theirs = socket_pair()
        try:
            process = await QemuProcess.start(
                command(theirs.fileno()), [theirs], directory, files, processors, passed, confined
            )
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
    def patience(self) -> float:
        """Seconds that the running guest may stand at one icount."""
        return self._watchdog.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._watchdog.patience = seconds

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
        self._questions.doubt()
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
        if self._fence.at is not None and self._fence.at > self._at_most + 1:
            fence = self._fence.at
        at_most = self._at_most + 1
        reply = await self._go_on("s", fence, None)
        self._at_most = min(self._at_most, at_most)
        if reply.watched and not self._registers.stops_before_access:
            self._second_stop = await self._state()
        return reply

    async def behind_pause(self) -> int | None:
        """The address behind the next instruction, if that is one that QEMU steps over together with the one there."""
        if not self._registers.pauses:
            return None
        self._watchdog.check_not_stopped()
        packet, pc = await self.register_packet(), await self.pc()
        pauses = self._registers.pauses_in(packet)
        code = await self._code(self._registers.address_space(packet), pc, max(map(len, pauses)))
        return next((pc + len(pause) for pause in pauses if code.startswith(pause)), None)

    async def step_exactly(self, icount: int) -> StopReply:
        """As :meth:`step`, but never past ``icount``: a fence that costs more than the step.

        :raises Divergence: as for :meth:`run_to`.
        """
        # The fence is a timer of the main loop, and an interrupt that is pending is quicker on a processor of its own.
        with self.process.main_loop_first():
            # Which action wins more often depends on the host; who tries again should not try the same each time.
            return await self._go_on(random.choice("ssc"), icount, None)

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

    async def register(self, name: str) -> int | None:
        """One register, also one that the ``g`` packet leaves out; None if there is none of that name, or no access."""
        register = self._registers.registers.get(name)
        if register is None:
            return None
        packet = await self.register_packet()
        place = 2 * register.offset
        digits = packet[place : place + 2 * register.size]
        if len(digits) < 2 * register.size:
            digits = await self.register_digits(register.number) or b""
        return int.from_bytes(bytes.fromhex(digits.decode()), self._registers.byte_order) if digits else None

    async def register_digits(self, number: int) -> bytes | None:
        """The register with QEMU's ``number``, as a ``p`` packet gives it; None if there is none, or no access.

        Also one that the ``g`` packet leaves out, such as ``msp`` of a Cortex-M (10.0).
        """
        digits = await self._look(b"p%x" % number)
        return digits if digits and not digits.startswith(b"E") else None

    async def pc(self) -> int:
        """The linear address of the next instruction, as breakpoints count it."""
        packet, segment = await self.register_packet(), await self.code_segment()
        pointer = self._registers.value(packet, self._registers.pc)
        return segment.linear(pointer) if segment else pointer

    async def code_segment(self) -> CodeSegment | None:
        """How the CPU reads its code; None where there is one way only, or QEMU does not tell.

        Only the monitor tells the segment's base and size. A selector that has meant 64-bit code is not asked about
        again, since a machine goes forward and boots once; 32-bit code in long mode may be on its way to 64 bits.
        """
        if not self._registers.segmented:
            return None
        packet = await self.register_packet()
        if not self._registers.is_long(packet):
            return read_code_segment((await self._look(_CPU)).decode(errors="replace"), long=False)
        selector = self._registers.value(packet, "cs")
        if selector in self._long_selectors:
            return CodeSegment(CodeMode.BITS64)
        segment = read_code_segment((await self._ask(_CPU)).decode(errors="replace"), long=True)
        if segment and segment.mode is CodeMode.BITS64:
            self._long_selectors.add(selector)
        return segment

    async def segment_bases(self) -> dict[str, int]:
        """Where the segments of an x86 CPU begin, as ``ds_base`` and so on; none on others."""
        if not self._registers.segmented:
            return {}
        return read_segment_bases((await self._look(_CPU)).decode(errors="replace"))

    async def disassemble(self, address: int, count: int) -> list[tuple[int, str]]:
        """``count`` instructions from a virtual address, as (address, text); empty where nothing is mapped.

        QEMU disassembles if it was built with capstone, as Debian's is.
        """
        lines = read_disassembly(await self.monitor(f"x /{count}i {address:#x}"))
        if lines and lines[0][1].startswith(".byte") and -address % _READ_BYTES < _LONGEST_INSTRUCTION:
            # QEMU has read up to there, and taken what is cut off for data. It reads on for what it comes to later on.
            for before in range(1, _LONGEST_INSTRUCTION + 1):
                text = await self.monitor(f"x /{count + 1}i {address - before:#x}")
                if (longer := read_disassembly(text))[1:] and longer[1][0] == address:
                    return longer[1:]
        return lines

    async def read_memory(self, address: int, length: int) -> bytes:
        """Read guest memory at a virtual (linear) address.

        :raises RspError: not all of it is mapped.
        """
        parts = []
        for offset in range(0, length, _CHUNK_BYTES):
            size = min(_CHUNK_BYTES, length - offset)
            answer = await self._look(f"m{address + offset:x},{size:x}".encode())
            if len(answer) != 2 * size:
                raise unreadable(address, length)
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
            if not self._rsp.broken:  # or nobody asks it any more: a Ctrl-C would wait 30 s for one that hangs
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
            self._fence.gone()
            await self._watchdog.halt(waiting)
            raise

    async def _look(self, packet: bytes) -> bytes:
        """The answer to a question that stays the same until the guest goes on."""
        try:
            return await self._questions.ask(packet)
        except QemuDied:
            raise await self.process.death() from None

    def _forget(self) -> None:
        """Something else may change the guest, or the meaning of a question."""
        self._blocks.clear()
        self._questions.forget()

    async def _ask(self, packet: str | bytes) -> bytes:
        try:
            return await self._rsp.exchange(packet)
        except QemuDied:
            raise await self.process.death() from None

    async def _resume(self, action: str, fence: int, on_progress: ProgressCallback | None) -> StopReply:
        try:
            if self._fence.at != fence:
                self._watchdog.check_not_stopped()
                await self._fence.put(fence)
            while True:
                self._at_most = fence
                self._questions.turn_over()
                self._rsp.resume(action)
                reply = await self._watch(on_progress)
                if reply.signal != _INTERRUPT:
                    return reply
                reached = await self.icount()
                if reached >= fence:
                    self._fence.gone()
                    return reply
                # A replay breakpoint's timer may fire late, after a stop for another reason at its icount;
                # it then interrupts the next run, and has deleted the fence.
                await self._fence.put(fence)
        except QemuDied:
            raise await self.process.death() from None
        except QmpError as error:
            raise Divergence(f"The replay cannot go on: {error}") from None

    async def _watch(self, on_progress: ProgressCallback | None) -> StopReply:
        try:
            return await self._watchdog.until_stopped(self._seen, on_progress)
        except BaseException:
            self._fence.gone()
            raise


def read_disassembly(text: str) -> list[tuple[int, str]]:
    """The instructions that ``x /NNNi`` of QEMU's monitor has printed, as (address, text)."""
    return [(int(line[1], 16), " ".join(line[2].split())) for line in _INSTRUCTION.finditer(text)]
