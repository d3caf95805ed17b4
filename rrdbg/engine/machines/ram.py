"""Where the guest's RAM lies in QEMU's own memory, from where ``/proc`` lets it be read.

The monitor tells: ``info mtree -f`` lists the guest-physical ranges that are RAM, and ``gpa2hva`` the address in the
process for each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrdbg.errors import QmpError
from rrdbg.links.qmp import QmpLink

_VIEW = re.compile(r"^FlatView #\d+\n((?:.|\n)*?)(?=^FlatView|\Z)", re.MULTILINE)
_RANGE = re.compile(r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ram\):", re.MULTILINE)
_MEMORY = re.compile(r'^ AS "(?:memory|cpu-memory-0)"', re.MULTILINE)
"""The board's address space, and the CPU's own where the board has given it all of its RAM (the micro:bit's)."""

_HOST_ADDRESS = re.compile(r" is 0x([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class RamRange:
    """``length`` bytes of RAM at the guest-physical ``start``, and their address in QEMU's process."""

    start: int
    length: int
    host: int


async def ram_of(qmp: QmpLink) -> list[RamRange]:
    """All RAM of the stopped QEMU at ``qmp``, in the order of its addresses.

    :raises QmpError: the monitor does not tell.
    """
    text = (await qmp.monitor("info mtree -f")).replace("\r", "")
    views = [found[1] for found in _VIEW.finditer(text) if _MEMORY.search(found[1])]
    listed = next((found for view in views if (found := _RANGE.findall(view))), [])
    ranges = []
    for low, high in listed:
        start, length = int(low, 16), int(high, 16) + 1 - int(low, 16)
        answer = await qmp.monitor(f"gpa2hva {start:#x}")
        address = _HOST_ADDRESS.search(answer)
        if address is None:
            raise QmpError(f"QEMU does not tell where guest memory {start:#x} lies: {answer.strip()!r}.")
        ranges.append(RamRange(start, length, int(address[1], 16)))
    if not ranges:
        raise QmpError("QEMU's 'info mtree -f' lists no RAM in the address spaces 'memory' and 'cpu-memory-0'.")
    return ranges
