"""What a guest does with its instructions: its stack at every so many of them, the same each time.

Each stack is read in one piece.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.queries.sampling import sampled
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.linux.task import Running
from rrdbg.model.program.call_frames import CONVENTIONS, I386_ON_X86_64, CallFrames, Convention, stack
from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.timeline.position import Position

MOST_FRAMES = 64

Who = Callable[[Machine], Awaitable[Running | None]]
"""Tells which task runs where a machine stands; None where that is not known."""

_STACK_BYTES = 4096
"""Read at once: more than nearly all stacks of kernels have. What lies beyond is read word by word."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The ``stack`` at ``position``, the innermost address first; who runs, where that is known."""

    position: Position
    stack: tuple[int, ...]
    running: Running | None = None


async def profile(
    replay: Replay,
    every: int,
    start: Position,
    end: Position,
    frames: CallFrames | None,
    who: Who | None = None,
    runs: TaskRuns | None = None,
) -> AsyncGenerator[Sample, None]:
    """A sample at each multiple of ``every`` instructions from ``start`` on and before ``end``, as by :func:`sampled`.

    ``who`` tells which task runs; with ``runs`` only stacks of that task are taken. The cursor stays.

    Of 16-bit code of x86 there is the innermost address alone.

    :raises UsageError: how stacks look on the guest's architecture is not known.
    """
    architecture = replay.recording.manifest.invocation.architecture
    convention = CONVENTIONS.get(architecture)
    if convention is None:
        known = ", ".join(CONVENTIONS)
        raise UsageError(f"How a stack of {architecture} is unwound rrdbg does not know; it does of {known}.")
    async with aclosing(sampled(replay, every, start, end, _Sampler(convention, frames, who), runs)) as found:
        async for sample in found:
            yield sample


class _Sampler:
    def __init__(self, convention: Convention, frames: CallFrames | None, who: Who | None) -> None:
        self._convention = convention
        self._frames = frames
        self._who = who

    async def __call__(self, walker: Walker) -> Sample:
        machine = walker.machine
        registers, pc = await machine.registers(), await machine.pc()
        running = await self._who(machine) if self._who else None
        convention = await self._convention_of(machine)
        if convention is None:
            return Sample(walker.position, (pc,), running)
        if convention.odd and (process := await machine.register("psp")) is not None:
            registers["psp"] = process  # newer QEMUs tell it, but not with the others
        words = _Words(machine, convention.word)
        sp = next((registers[name] for name, number in convention.numbers.items() if number == convention.sp), 0)
        await words.know(sp)
        while True:
            found = stack(self._frames, convention, pc, registers, words.read, MOST_FRAMES)
            if not await words.know_missed():
                break
        return Sample(walker.position, found, running)

    async def _convention_of(self, machine: Machine) -> Convention | None:
        """How the code that runs calls: that of x86 by its mode, and None of 16-bit code, which no rule is for."""
        segment = await machine.code_segment()
        if segment is None or segment.mode is CodeMode.BITS64:
            return self._convention
        if segment.mode is CodeMode.BITS16:
            return None
        return I386_ON_X86_64 if self._convention is CONVENTIONS["x86_64"] else self._convention


class _Words:
    """Words of a machine's memory where it stands: what has not been read so far is noted as missed."""

    def __init__(self, machine: Machine, size: int) -> None:
        self._machine = machine
        self._size = size
        self._known: dict[int, bytes] = {}
        self._missed: set[int] = set()

    def read(self, address: int) -> int | None:
        """The word at an address; None where it is not mapped, or not known yet."""
        for start, data in self._known.items():
            if start <= address and address + self._size <= start + len(data):
                return int.from_bytes(data[address - start : address - start + self._size], "little")
        if address not in self._known:
            self._missed.add(address)
        return None

    async def know(self, address: int) -> None:
        """Read a piece from ``address`` on, as far as its page where the next one is not mapped."""
        for length in (_STACK_BYTES, _STACK_BYTES - address % _STACK_BYTES, 0):
            try:
                self._known[address] = await self._machine.read_memory(address, length) if length else b""
            except RspError:
                continue
            return

    async def know_missed(self) -> bool:
        """Read what was missed; False if there is nothing."""
        missed, self._missed = self._missed, set()
        for address in missed:
            await self.know(address)
        return bool(missed)
