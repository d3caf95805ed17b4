"""Run until a function of x86 code without symbols returns, where GDB knows no frames: always so in 16-bit code.

The code itself tells: the function at the cursor ends with the first return at which the stack is no deeper than it is
now. Calls inside, interrupts, and code of another mode or on another stack return from further down, or elsewhere.
"""

from __future__ import annotations

from collections.abc import Container

from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.hits.stop import Stop, StopReason
from rrdbg.model.program.code_mode import CodeMode

LONGEST = 50_000
"""Instructions after which nothing is expected any more; a minute."""

_PREFIXES = frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3})
_RETURNS = frozenset({0xC2, 0xC3, 0xCA, 0xCB, 0xCF})
_LOOKED_AT = 4
"""Bytes of an instruction, of which all but the last may be prefixes."""


async def run_out(replay: Replay, breakpoints: Container[int]) -> Stop:
    """Execute until the function at the cursor has returned, or one of the addresses of ``breakpoints`` is next.

    :raises UsageError: nothing returned, in :data:`LONGEST` instructions, or this is no x86; the cursor stays.
    """
    if not (await replay.machine()).register_file.segmented:
        raise UsageError("Return instructions are known of x86 code only; set a breakpoint where it returns to.")
    start = replay.position
    mode, depth = await _mode(replay), await _stack(replay)
    for _ in range(LONGEST):
        returns = await _is_return(replay) and await _stack(replay) >= depth and await _mode(replay) == mode
        stop = await replay.stepi()
        if returns or stop.reason is StopReason.END or stop.pc in breakpoints:
            return stop
    await replay.seek(start)
    raise UsageError(
        f"Nothing returned within {LONGEST:,} instructions; set a breakpoint where you expect it, and 'continue'."
    )


async def _mode(replay: Replay) -> tuple[CodeMode | None, int]:
    """How the CPU reads its code, and which segment its stack is in."""
    machine = await replay.machine()
    segment = await machine.code_segment()
    return segment.mode if segment else None, (await replay.registers())["ss"]


async def _stack(replay: Replay) -> int:
    """The top of the stack, counted in its segment."""
    registers = await replay.registers()
    return registers["rsp"] if "rsp" in registers else registers["esp"]


async def _is_return(replay: Replay) -> bool:
    code = await replay.read_memory(await replay.pc(), _LOOKED_AT)
    return next((byte for byte in code if byte not in _PREFIXES), 0) in _RETURNS
