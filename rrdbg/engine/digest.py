"""A checksum of the guest's registers and RAM, to tell whether two replays are in the same state.

RAM is read out of QEMU's own memory through ``/proc``, which is the cheapest way that changes nothing: 0.27 s for
256 MiB of which 75 MiB are in use, against 1.6 s for ``pmemsave`` to a file, whose pages QEMU must write and we must
read again. The monitor tells where it lies: ``info mtree -f`` lists the guest-physical ranges that are RAM, and
``gpa2hva`` the address in the process for each. Blocks of zeros are skipped, so that memory which was touched in
one process and not in the other counts as equal.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Sequence

from rrdbg.errors import QmpError
from rrdbg.links.machine import Machine

_VIEW = re.compile(r"^FlatView #\d+\n((?:.|\n)*?)(?=^FlatView|\Z)", re.MULTILINE)
_RANGE = re.compile(r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ram\):", re.MULTILINE)
_MEMORY = re.compile(r'^ AS "memory"', re.MULTILINE)
_HOST_ADDRESS = re.compile(r" is 0x([0-9a-f]+)")
_BLOCK = 1 << 16
_ZEROS = bytes(_BLOCK)


async def state_digest(machine: Machine) -> str:
    """BLAKE2b-256, in hex, of all registers and RAM of a stopped ``machine``.

    :raises QmpError: the monitor does not tell where the RAM is, or it cannot be read.
    """
    registers = await machine.register_packet()
    ranges = await _ram(machine)
    try:
        return await asyncio.to_thread(_digest, machine.process.pid, registers, ranges)
    except OSError as error:
        raise QmpError(
            f"The memory of QEMU (pid {machine.process.pid}) cannot be read: {error.strerror}. Snapshots cannot be "
            "proved here; the kernel setting yama.ptrace_scope may forbid it (0 and 1 allow it)."
        ) from None


async def _ram(machine: Machine) -> list[tuple[int, int, int]]:
    """Ranges of RAM: guest-physical address, length, address in QEMU's process."""
    text = (await machine.qmp.monitor("info mtree -f")).replace("\r", "")
    view = next((found[1] for found in _VIEW.finditer(text) if _MEMORY.search(found[1])), "")
    ranges = []
    for low, high in _RANGE.findall(view):
        start, length = int(low, 16), int(high, 16) + 1 - int(low, 16)
        answer = await machine.qmp.monitor(f"gpa2hva {start:#x}")
        address = _HOST_ADDRESS.search(answer)
        if address is None:
            raise QmpError(f"QEMU does not tell where guest memory {start:#x} lies: {answer.strip()!r}.")
        ranges.append((start, length, int(address[1], 16)))
    if not ranges:
        raise QmpError("QEMU's 'info mtree -f' lists no RAM in the address space 'memory'.")
    return ranges


def _digest(pid: int, registers: bytes, ranges: Sequence[tuple[int, int, int]]) -> str:
    found = hashlib.blake2b(registers, digest_size=32)
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for start, length, address in ranges:
            for offset in range(0, length, _BLOCK):
                size = min(_BLOCK, length - offset)
                block = os.pread(memory, size, address + offset)
                if block != _ZEROS[:size]:
                    found.update(b"%x:" % (start + offset))
                    found.update(block)
    finally:
        os.close(memory)
    return found.hexdigest()
