"""Compare two machines: registers, RAM, and the way that they go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from rrdbg.engine.machines.ram import RamRange, ram_of
from rrdbg.engine.replay import Replay
from rrdbg.errors import QmpError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.model.timeline.difference import Difference, MemoryDifference

_BLOCK = 1 << 16
_SHOWN_BYTES = 16


async def difference(first: Replay, second: Replay) -> Difference | None:
    """How registers and RAM differ at the cursors of two replays; None if they do not. The devices are not looked at.

    :raises UsageError: the guests have different registers or RAM.
    :raises QmpError: the RAM cannot be read.
    """
    machines = await first.machine(), await second.machine()
    registers = await _registers(*machines)
    memory = await _memory(*machines)
    positions = first.position, second.position
    if registers or memory or positions[0] != positions[1]:
        return Difference(positions, registers, memory)
    return None


async def _registers(first: Machine, second: Machine) -> dict[str, tuple[int, int]]:
    if await first.register_packet() == await second.register_packet():
        return {}
    ours, theirs = await first.registers(), await second.registers()
    if ours.keys() != theirs.keys():
        raise UsageError("The two guests have different registers, so there is nothing to compare.")
    return {name: (value, theirs[name]) for name, value in ours.items() if value != theirs[name]}


async def _memory(first: Machine, second: Machine) -> MemoryDifference | None:
    ranges = await ram_of(first.qmp), await ram_of(second.qmp)
    if [(part.start, part.length) for part in ranges[0]] != [(part.start, part.length) for part in ranges[1]]:
        raise UsageError("The two guests have their RAM at different addresses, so there is nothing to compare.")
    try:
        return await asyncio.to_thread(_first_difference, first.process.pid, second.process.pid, *ranges)
    except OSError as error:
        raise QmpError(
            f"The memory of QEMU cannot be read: {error.strerror}. The kernel setting yama.ptrace_scope may forbid it "
            "(0 and 1 allow it)."
        ) from None


def _first_difference(
    first: int, second: int, ours: Sequence[RamRange], theirs: Sequence[RamRange]
) -> MemoryDifference | None:
    memories = [os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC) for pid in (first, second)]
    try:
        for mine, other in zip(ours, theirs, strict=True):
            for offset in range(0, mine.length, _BLOCK):
                size = min(_BLOCK, mine.length - offset)
                blocks = (
                    os.pread(memories[0], size, mine.host + offset),
                    os.pread(memories[1], size, other.host + offset),
                )
                if blocks[0] != blocks[1]:
                    place = next(at for at, pair in enumerate(zip(*blocks, strict=True)) if pair[0] != pair[1])
                    shown = slice(place, place + _SHOWN_BYTES)
                    return MemoryDifference(mine.start + offset + place, blocks[0][shown], blocks[1][shown])
    finally:
        for memory in memories:
            os.close(memory)
    return None
