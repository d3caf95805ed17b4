"""Where in physical memory a virtual address leads: here, or in an address space that is not in use here.

QEMU translates by the page tables in use (``gva2gpa``). Others are walked in the guest's memory: those of x86-64, of
AArch64's lower half and of RISC-V with 64 bits.
"""

from __future__ import annotations

import re

from rrdbg.errors import RspError
from rrdbg.links.address_space import space_in_use
from rrdbg.links.machine import Machine
from rrdbg.links.page_tables import levels

_GPA = re.compile(r"gpa: 0x([0-9a-f]+)|gpa: ([0-9a-f]+)")

_X86_PRESENT, _X86_LARGE = 1, 1 << 7
_X86_FRAME = 0x000F_FFFF_FFFF_F000

_AARCH64_GRANULES = {0: 12, 1: 16, 2: 14}
_AARCH64_VALID, _AARCH64_TABLE = 1, 2
_AARCH64_OUTPUT = 0x0000_FFFF_FFFF_F000

_RISCV_VALID, _RISCV_LEAF = 1, 0b1110
_RISCV_NUMBER = (1 << 44) - 1
_RISCV_LEVELS = {8: 3, 9: 4, 10: 5}

_PAGE_BITS, _ENTRY_BITS = 12, 9


async def physical_here(machine: Machine, address: int) -> int | None:
    """The physical address that ``address`` means where ``machine`` stands; None where nothing is mapped."""
    found = _GPA.search(await machine.monitor(f"gva2gpa {address:#x}"))
    return int(found[1] or found[2], 16) if found else None


async def physical_in(machine: Machine, root: int, address: int) -> int | None:
    """The same in the address space of ``root``, whichever is in use; None also where its tables cannot be read."""
    if await space_in_use(machine) == root:
        return await physical_here(machine, address)
    names = machine.register_file.registers
    try:
        if "cr3" in names:
            return await _x86(machine, root, address)
        if "TTBR0_EL1" in names:
            return await _aarch64(machine, root, address)
        if "satp" in names:
            return await _riscv(machine, root, address)
    except RspError:
        pass  # tables that are nowhere lead nowhere
    return None


async def _entry(machine: Machine, table: int, index: int) -> int:
    return int.from_bytes(await machine.read_physical(table + 8 * index, 8), "little")


async def _x86(machine: Machine, root: int, address: int) -> int | None:
    table = root
    for level in range(await levels(machine), 0, -1):
        shift = _PAGE_BITS + _ENTRY_BITS * (level - 1)
        entry = await _entry(machine, table, address >> shift & 0x1FF)
        if not entry & _X86_PRESENT:
            return None
        if level == 1 or (level <= 3 and entry & _X86_LARGE):
            return (entry & _X86_FRAME & -(1 << shift)) | address & (1 << shift) - 1
        table = entry & _X86_FRAME
    return None


async def _aarch64(machine: Machine, root: int, address: int) -> int | None:
    control = await machine.register("TCR_EL1")
    granule = _AARCH64_GRANULES.get((control or 0) >> 14 & 3)
    if control is None or granule is None:
        return None
    bits = granule - 3
    size = 64 - (control & 0x3F)
    table = root
    for level in range(-(-(size - granule) // bits), 0, -1):
        shift = granule + bits * (level - 1)
        entry = await _entry(machine, table, (address & (1 << size) - 1) >> shift & (1 << bits) - 1)
        if not entry & _AARCH64_VALID:
            return None
        if level == 1 or not entry & _AARCH64_TABLE:
            return (entry & _AARCH64_OUTPUT & -(1 << shift)) | address & (1 << shift) - 1
        table = entry & _AARCH64_OUTPUT & -(1 << granule)
    return None


async def _riscv(machine: Machine, root: int, address: int) -> int | None:
    satp = await machine.register("satp")
    depth = _RISCV_LEVELS.get((satp or 0) >> 60)
    if depth is None:
        return None
    table = root
    for level in range(depth, 0, -1):
        shift = _PAGE_BITS + _ENTRY_BITS * (level - 1)
        entry = await _entry(machine, table, address >> shift & 0x1FF)
        if not entry & _RISCV_VALID:
            return None
        base = (entry >> 10 & _RISCV_NUMBER) << _PAGE_BITS
        if entry & _RISCV_LEAF:
            return (base & -(1 << shift)) | address & (1 << shift) - 1
        table = base
    return None
