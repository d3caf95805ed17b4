"""Run until a function without symbols returns, where GDB knows no frames: always so in 16-bit code of x86.

The code itself tells: the function at the cursor ends with the first return at which the stack is no deeper than it is
now. Calls inside, interrupts, and code of another mode or on another stack return from further down, or elsewhere.
Where a call leaves the address to return to in a register, the functions called inside may need no stack of their own,
so calls and returns are counted there.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Protocol

from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.hits.stop import Stop, StopReason
from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.program.linkage import Linkage, follows, is_call, linkage_of

LONGEST = 50_000
"""Instructions after which nothing is expected any more; a minute."""

_PREFIXES = frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3})
_RETURNS = frozenset({0xC2, 0xC3, 0xCA, 0xCB, 0xCF})
_LOOKED_AT = 4
"""Bytes of an instruction, of which all but the last may be prefixes."""


async def run_out(replay: Replay, breakpoints: Container[int]) -> Stop:
    """Execute until the function at the cursor has returned, or one of the addresses of ``breakpoints`` is next.

    :raises UsageError: nothing returned, in :data:`LONGEST` instructions, or this architecture's returns are not known;
        the cursor stays.
    """
    start = replay.position
    function = await _function(replay)
    for _ in range(LONGEST):
        await function.look()
        stop = await replay.stepi()
        if await function.returned() or stop.reason is StopReason.END or stop.pc in breakpoints:
            return stop
    await replay.seek(start)
    raise UsageError(
        f"Nothing returned within {LONGEST:,} instructions; set a breakpoint where you expect it, and 'continue'."
    )


class _Function(Protocol):
    """The function that was at the cursor of a replay when this was made."""

    async def look(self) -> None:
        """Look at the instruction that comes next."""

    async def returned(self) -> bool:
        """Whether that instruction, which was executed since, has returned from the function."""


async def _function(replay: Replay) -> _Function:
    if (await replay.machine()).register_file.segmented:
        return _ByStack(replay, await _mode(replay), await _stack(replay))
    architecture = replay.recording.manifest.invocation.architecture
    linkage = linkage_of(architecture)
    if linkage is None:
        raise UsageError(
            f"Return instructions are not known of {architecture} code; set a breakpoint where it returns to."
        )
    return _ByLink(replay, linkage, await replay.registers())


class _ByStack:
    """Of x86 code."""

    def __init__(self, replay: Replay, mode: tuple[CodeMode | None, int], depth: int) -> None:
        self._replay = replay
        self._mode = mode
        self._depth = depth
        self._returns = False

    async def look(self) -> None:
        """Look at the instruction that comes next."""
        replay = self._replay
        code = await replay.read_memory(await replay.pc(), _LOOKED_AT)
        is_return = next((byte for byte in code if byte not in _PREFIXES), 0) in _RETURNS
        self._returns = is_return and await _stack(replay) >= self._depth and await _mode(replay) == self._mode

    async def returned(self) -> bool:
        """Whether it has returned."""
        return self._returns


class _ByLink:
    """Of code that calls by a register."""

    def __init__(self, replay: Replay, linkage: Linkage, registers: Mapping[str, int]) -> None:
        self._replay = replay
        self._linkage = linkage
        self._mode = linkage.mode(registers)
        self._depth = registers[linkage.stack]
        self._calls = 0
        self._left: tuple[int, int] | None = None
        """Where an exception came, and the top of the stack there, until that goes on; others may run meanwhile."""
        self._icount = self._pc = self._top = 0
        self._is_return = False

    async def look(self) -> None:
        """Look at the instruction that comes next."""
        registers = await self._replay.registers()
        self._icount, self._pc = self._replay.position.icount, await self._replay.pc()
        self._top = registers[self._linkage.stack]
        self._is_return = self._linkage.is_return(await self._replay.read_memory(self._pc, _LOOKED_AT), registers)

    async def returned(self) -> bool:
        """Whether it has returned."""
        pc, registers = await self._replay.pc(), await self._replay.registers()
        top, is_here = registers[self._linkage.stack], self._linkage.mode(registers) == self._mode
        if self._left is None and not (is_here and self._icount < self._replay.position.icount):
            self._left = self._pc, self._top
            return False
        if self._left:
            if is_here and follows(self._left[0], pc) and top == self._left[1]:
                self._left = None
            return False
        if is_call(self._pc, pc, registers[self._linkage.link]):
            self._calls += 1
        elif self._is_return and not follows(self._pc, pc):
            self._calls -= 1
            return self._calls < 0 and top >= self._depth
        return False


async def _mode(replay: Replay) -> tuple[CodeMode | None, int]:
    """How the CPU reads its code, and which segment its stack is in."""
    machine = await replay.machine()
    segment = await machine.code_segment()
    return segment.mode if segment else None, (await replay.registers())["ss"]


async def _stack(replay: Replay) -> int:
    """The top of the stack, counted in its segment."""
    registers = await replay.registers()
    return registers["rsp"] if "rsp" in registers else registers["esp"]
