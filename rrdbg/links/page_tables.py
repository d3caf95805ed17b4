"""The page tables of x86-64 in a machine's memory: what is mapped to where, as the guest has it.

They are read from physical memory, so the TLB, which may know older entries, does not count; neither do access rights.
"""

from __future__ import annotations

from rrdbg.errors import RspError
from rrdbg.links.machine import Machine

ENTRIES = 512
MOST_TABLES = 4096
"""A gigabyte that is mapped in small pages takes 512."""

_PRESENT, _LARGE = 1, 1 << 7
_FRAME = 0x000F_FFFF_FFFF_F000
_LONG_MODE, _LA57 = 1 << 10, 1 << 12
_BITS = 9


async def levels(machine: Machine) -> int:
    """How many levels the page tables in use have: 4 or 5 in long mode, else 0, since others are not read here."""
    if not (await machine.register("efer") or 0) & _LONG_MODE:
        return 0
    return 5 if (await machine.register("cr4") or 0) & _LA57 else 4


async def entries(machine: Machine, table: int, count: int = ENTRIES, size: int = 8) -> list[int]:
    """The first ``count`` entries, of ``size`` bytes, of the page table at the physical address ``table``.

    :raises RspError: there is no memory.
    """
    raw = await machine.read_physical(table, count * size)
    return [int.from_bytes(raw[place : place + size], "little") for place in range(0, len(raw), size)]


async def alias(machine: Machine, root: int, physical: int) -> int | None:
    """The lowest address of the kernel's half that the tables at ``root`` map to ``physical``; None if none does.

    At most :data:`MOST_TABLES` are looked at: a guest may have any number, that lead anywhere.
    """
    depth = await levels(machine)
    # What is left to be looked at, the next one last: a table, its level, and the address that it begins at.
    left = [(root, depth, 0)] if depth else []
    seen: set[tuple[int, int]] = set()
    while left and len(seen) < MOST_TABLES:
        table, level, base = left.pop()
        if (table, level) in seen:
            continue
        seen.add((table, level))
        below = []
        for number, entry in await _present(machine, table):
            if level == depth and number < ENTRIES // 2:
                continue
            shift = 12 + _BITS * (level - 1)
            address = base | number << shift
            if level > 1 and not (level <= 3 and entry & _LARGE):
                below.append((entry & _FRAME, level - 1, address))
                continue
            start = entry & _FRAME & -(1 << shift)
            if start <= physical < start + (1 << shift):
                sign = -(1 << (12 + _BITS * depth - 1)) & (1 << 64) - 1
                return (address | sign) + physical - start
        left += reversed(below)
    return None


async def _present(machine: Machine, table: int) -> list[tuple[int, int]]:
    """The entries of a table that are present, by number; none if it is nowhere, since what leads there is garbage."""
    try:
        return [(number, entry) for number, entry in enumerate(await entries(machine, table)) if entry & _PRESENT]
    except RspError:
        return []
