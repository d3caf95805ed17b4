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
from rrdbg.model.linux.paging import Paging, aarch64_paging, riscv_paging, x86_paging

_GPA = re.compile(r"gpa: 0x([0-9a-f]+)|gpa: ([0-9a-f]+)")


async def physical_here(machine: Machine, address: int) -> int | None:
    """The physical address that ``address`` means where ``machine`` stands; None where nothing is mapped."""
    found = _GPA.search(await machine.monitor(f"gva2gpa {address:#x}"))
    return int(found[1] or found[2], 16) if found else None


async def physical_in(machine: Machine, root: int, address: int) -> int | None:
    """The same in the address space of ``root``, whichever is in use; None also where its tables cannot be read."""
    if await space_in_use(machine) == root:
        return await physical_here(machine, address)
    try:
        paging = await _lower_half(machine)
        return await _walked(machine, paging, root, address) if paging else None
    except RspError:
        return None  # tables that are nowhere lead nowhere


async def _lower_half(machine: Machine) -> Paging | None:
    """The form of the tables by which ``machine`` maps what each process has of its own; None if it is not known."""
    names = machine.register_file.registers
    if "cr3" in names:
        depth = await levels(machine)
        return x86_paging(five_levels=depth == 5) if depth else None
    if "TTBR0_EL1" in names:
        control = await machine.register("TCR_EL1")
        return None if control is None else aarch64_paging(control, lower=True)
    if "satp" in names:
        return riscv_paging((await machine.register("satp") or 0) >> 60)
    return None


async def _walked(machine: Machine, paging: Paging, root: int, address: int) -> int | None:
    table = root
    for level in range(paging.levels, 0, -1):
        shift = paging.shift_at(level)
        number = (address & (1 << paging.width) - 1) >> shift & (1 << paging.bits) - 1
        entry = int.from_bytes(await machine.read_physical(table + 8 * number, 8), "little")
        led = paging.leads(entry, level)
        if led is None:
            return None
        table, mapped = led
        if mapped:
            return table & -(1 << shift) | address & (1 << shift) - 1
    return None
