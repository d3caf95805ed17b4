"""Where the guest's RAM lies in QEMU's own memory, from where ``/proc`` lets it be read.

The monitor tells: ``info mtree -f`` lists the guest-physical ranges that are RAM, and ``gpa2hva`` the address in the
process for each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrdbg.errors import QmpError
from rrdbg.links.qmp import QmpLink
from rrdbg.model.hits.physical_place import PhysicalPlace

_VIEW = re.compile(r"^FlatView #\d+\n((?:.|\n)*?)(?=^FlatView|\Z)", re.MULTILINE)
_RANGE = re.compile(r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ram\): \S+(?: @([0-9a-f]{16}))?", re.MULTILINE)
_MEMORY = re.compile(r'^ AS "(?:memory|cpu-memory-0)"', re.MULTILINE)
"""The board's address space, and the CPU's own where the board has given it all of its RAM (the micro:bit's)."""

_HOST_ADDRESS = re.compile(r" is 0x([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class RamRange:
    """``length`` bytes of RAM at the guest-physical ``start``, and their address in QEMU's process."""

    start: int
    length: int
    host: int


async def is_ram(qmp: QmpLink, place: PhysicalPlace) -> bool:
    """True if there is RAM at ``place`` in the stopped QEMU at ``qmp``.

    :raises QmpError: the monitor does not tell.
    """
    return any(low <= place.address and place.address + place.length <= high for low, high, _ in await _listed(qmp))


async def is_told_by_7_2(qmp: QmpLink, place: PhysicalPlace) -> bool:
    """True if QEMU 7.2 tells plugins the physical address of what is written at ``place``, which is RAM.

    It tells the offset in all of its memory. That is the same in what comes first there, if that is not mapped in
    parts: not so where a PC has more than fits below 4 GiB.

    :raises QmpError: the monitor does not tell.
    """
    for number, (low, high, offset) in enumerate(await _listed(qmp)):
        if low <= place.address < high:
            return number == 0 if offset is None else offset == low
    return False


async def ram_of(qmp: QmpLink) -> list[RamRange]:
    """All RAM of the stopped QEMU at ``qmp``, in the order of its addresses.

    :raises QmpError: the monitor does not tell.
    """
    ranges = []
    for start, end, _ in await _listed(qmp):
        length = end - start
        answer = await qmp.monitor(f"gpa2hva {start:#x}")
        address = _HOST_ADDRESS.search(answer)
        if address is None:
            raise QmpError(f"QEMU does not tell where guest memory {start:#x} lies: {answer.strip()!r}.")
        ranges.append(RamRange(start, length, int(address[1], 16)))
    if not ranges:
        raise QmpError("QEMU's 'info mtree -f' lists no RAM in the address spaces 'memory' and 'cpu-memory-0'.")
    return ranges


async def _listed(qmp: QmpLink) -> list[tuple[int, int, int | None]]:
    """The ranges that are RAM: where each begins and ends, and from which offset in its block, if that is told."""
    text = (await qmp.monitor("info mtree -f")).replace("\r", "")
    views = [found[1] for found in _VIEW.finditer(text) if _MEMORY.search(found[1])]
    found = next((listed for view in views if (listed := _RANGE.findall(view))), [])
    return [(int(low, 16), int(high, 16) + 1, int(offset, 16) if offset else None) for low, high, offset in found]
