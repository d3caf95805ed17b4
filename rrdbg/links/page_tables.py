"""The page tables of x86-64 in a machine's memory: what is mapped to where, as the guest has it.

They are read from physical memory, so the TLB, which may know older entries, does not count; neither do access rights.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from rrdbg.errors import RspError
from rrdbg.links.machine import Machine

PAGE = 0x1000
ENTRIES = 512
_PRESENT, _LARGE = 1, 1 << 7
_FRAME = 0x000F_FFFF_FFFF_F000
_LONG_MODE, _LA57 = 1 << 10, 1 << 12
_BITS = 9
_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Mapping:
    """``size`` bytes from the virtual address ``virtual`` are mapped to ``physical``."""

    virtual: int
    physical: int
    size: int


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


async def translate(machine: Machine, root: int, address: int) -> int | None:
    """The physical address that the tables at ``root`` map ``address`` to; None if it is not mapped.

    :raises RspError: a table is nowhere.
    """
    table = root
    for level in range(await levels(machine), 0, -1):
        shift = 12 + _BITS * (level - 1)
        raw = await machine.read_physical(table + 8 * (address >> shift & ENTRIES - 1), 8)
        entry = int.from_bytes(raw, "little")
        if not entry & _PRESENT:
            return None
        if level == 1 or (level <= 3 and entry & _LARGE):
            offset = address & (1 << shift) - 1
            return (entry & _FRAME & -(1 << shift)) + offset
        table = entry & _FRAME
    return None


async def aliases(
    machine: Machine, root: int, physical: int, *, kernel_only: bool = False
) -> AsyncGenerator[int, None]:
    """The virtual addresses that the tables at ``root`` map to the ``physical`` one, in order.

    ``kernel_only`` leaves out the lower half.
    """
    first = ENTRIES // 2 if kernel_only else 0
    found = _mappings(machine, root, await levels(machine), 0, first)
    async with aclosing(found) as mappings:
        async for mapping in mappings:
            if mapping.physical <= physical < mapping.physical + mapping.size:
                yield mapping.virtual + physical - mapping.physical


async def _mappings(
    machine: Machine, table: int, level: int, base: int, first: int = 0, seen: frozenset[int] = frozenset()
) -> AsyncGenerator[Mapping, None]:
    """What the ``table`` of a level maps, which stands for the addresses from ``base`` on."""
    shift = 12 + _BITS * (level - 1)
    try:
        content = await entries(machine, table) if level else []
    except RspError:
        return  # what leads there is garbage: nothing is mapped by it
    top = 12 + _BITS * level
    for index in range(first, len(content)):
        entry = content[index]
        if not entry & _PRESENT:
            continue
        address = base | index << shift
        if not seen and address >> (top - 1) & 1:
            address |= -(1 << top) & (1 << 64) - 1  # the sign goes on
        if level == 1 or (level <= 3 and entry & _LARGE):
            yield Mapping(address, entry & _FRAME & -(1 << shift), 1 << shift)
        elif (below := entry & _FRAME) not in seen:
            async with aclosing(_mappings(machine, below, level - 1, address, 0, seen | {table})) as mappings:
                async for mapping in mappings:
                    yield mapping
