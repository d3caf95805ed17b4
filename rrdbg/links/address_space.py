"""Which address space a machine is in: the root of the page tables in use, and whether an address depends on it.

A root is a physical address: on x86 CR3's, on AArch64 TTBR0_EL1's, on RISC-V satp's. What else those registers hold (an
ASID, a PCID, flags) says nothing about what addresses mean, and is left out.

Linux with page-table isolation (KPTI) gives each process two roots, the kernel's at an even page and the user's at the
odd page behind it; the entries for the user's half are the same in both. Without isolation two such pages are two
processes' roots. So an odd root is taken for the even one's if those entries agree.

A kernel thread goes on with the page tables of the process before (lazy TLB): it is in that address space.
"""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.errors import RspError
from rrdbg.links.machine import Machine
from rrdbg.links.page_tables import alias, entries, levels
from rrdbg.links.registers import RegisterFile

_PAGE = 0x1000
_X86_PAGING = 1 << 31
_X86_PAE = 1 << 5
_X86_LONG_MODE = 1 << 10
_X86_PRESENT, _X86_USER = 1, 4
_X86_FRAME = 0x000F_FFFF_FFFF_F000
_X86_HALF = 256
"""Entries of a top-level table that are for the user's half, where that is the lower one."""

_AARCH64_ROOT = 0x0000_FFFF_FFFF_F000
_AARCH64_MMU = 1
_AARCH64_KERNEL_HALF = 1 << 55
_RISCV_FRAMES = (1 << 44) - 1
_RISCV_FRAMES_32 = (1 << 22) - 1


async def space_in_use(machine: Machine) -> int | None:
    """The root of the page tables that virtual addresses mean where ``machine`` stands; None where there are none.

    On AArch64 those of the lower half, which is the processes'.
    """
    layout = machine.register_file
    values = [await machine.register(name) for name in root_registers(layout)]
    root, may_be_users = root_by(layout, values)
    if root is None or not may_be_users:
        return root
    if root not in machine.roots:
        machine.roots[root] = root - _PAGE if await _are_twins(machine, root - _PAGE, root) else root
    return machine.roots[root]


def root_registers(layout: RegisterFile) -> tuple[str, ...]:
    """The names of the registers that say which page tables are in use."""
    wanted: tuple[str, ...] = ()
    if "cr3" in layout.registers:
        wanted = "cr3", "cr0", "cr4", "efer"
    elif "TTBR0_EL1" in layout.registers:
        wanted = "TTBR0_EL1", "SCTLR" if "SCTLR" in layout.registers else "SCTLR_EL1"
    elif "satp" in layout.registers:
        wanted = ("satp",)
    return tuple(name for name in wanted if name in layout.registers)


def root_by(layout: RegisterFile, values: Sequence[int | None]) -> tuple[int | None, bool]:
    """The root, by the ``values`` of :func:`root_registers`, None where there is none.

    The second tells whether it may be the user's of a process that has two, which only its entries tell.
    """
    known = dict(zip(root_registers(layout), values, strict=True))
    if "cr3" in known:
        return _x86_root(known["cr3"], known.get("cr0") or 0, known.get("cr4") or 0, known.get("efer") or 0)
    if "TTBR0_EL1" in known:
        root, control = known["TTBR0_EL1"], known.get("SCTLR", known.get("SCTLR_EL1"))
        in_use = root is not None and (control is None or control & _AARCH64_MMU)
        return (root & _AARCH64_ROOT if root is not None and in_use else None), False
    satp = known.get("satp")
    if satp is None:
        return None, False
    wide = layout.registers["satp"].size == 8
    if not satp >> (60 if wide else 31):
        return None, False
    return (satp & (_RISCV_FRAMES if wide else _RISCV_FRAMES_32)) * _PAGE, False


async def space_of(machine: Machine, address: int) -> int | None:
    """The address space that ``address`` belongs to where ``machine`` stands.

    None where it means the same in all: in the kernel's half, and where no process's page tables are in use.
    """
    space = await space_in_use(machine)
    if space is None:
        return None
    try:
        return space if await _is_by_process(machine, space, address) else None
    except RspError:
        return None  # the tables are nowhere: what is there nobody can map


async def _is_by_process(machine: Machine, space: int, address: int) -> bool:
    names = machine.register_file.registers
    if "cr3" in names:
        return await _is_users_on_x86(machine, space, address)
    if "TTBR0_EL1" in names:
        # A kernel has its own half by the other root; firmware has none.
        return not address & _AARCH64_KERNEL_HALF and bool(await machine.register("TTBR1_EL1"))
    table = await entries(machine, space) if names["satp"].size == 8 else []
    return not address >> 63 and any(entry & 1 for entry in table[_X86_HALF:])


def _x86_root(root: int | None, control: int, extended: int, features: int) -> tuple[int | None, bool]:
    if root is None or not control & _X86_PAGING:
        return None, False
    if not features & _X86_LONG_MODE:
        return root & (0xFFFF_FFE0 if extended & _X86_PAE else 0xFFFF_F000), False
    return root & _X86_FRAME, bool(root & _PAGE)


async def _are_twins(machine: Machine, kernels: int, users: int) -> bool:
    """True if two top-level tables map the user's half alike, and anything there at all."""
    try:
        one = [entry & (_X86_FRAME | 1) for entry in await entries(machine, kernels, _X86_HALF)]
        other = [entry & (_X86_FRAME | 1) for entry in await entries(machine, users, _X86_HALF)]
    except RspError:
        return False
    return one == other and any(one)


async def _is_users_on_x86(machine: Machine, space: int, address: int) -> bool:
    """True if the table ``space`` is a process's, and ``address`` is not of the kernel's part of it."""
    if (await machine.register("efer") or 0) & _X86_LONG_MODE:
        own = address >> 12 + 9 * (await levels(machine) - 1)
        if own >= _X86_HALF:
            return False  # the kernel's half, or no address at all
        table = await entries(machine, space, _X86_HALF)
    elif (await machine.register("cr4") or 0) & _X86_PAE:
        top = await entries(machine, space, 4)
        if not top[address >> 30 & 3] & _X86_PRESENT:
            return True
        own = (address >> 21) & 0x1FF
        table = await entries(machine, top[address >> 30 & 3] & _X86_FRAME)
        if not table[own] & _X86_PRESENT:
            return True
    else:
        own = (address >> 22) & 0x3FF
        table = await entries(machine, space, 1024, 4)
    if table[own] & _X86_PRESENT:
        return bool(table[own] & _X86_USER)
    return any(entry & _X86_PRESENT and entry & _X86_USER for entry in table)


async def guard_of(machine: Machine, space: int) -> int | None:
    """A virtual address of eight bytes that change where the page of ``space``, a root, becomes another one's.

    It is an entry for the kernel's half: Linux makes a new table by filling a page with zeros and then these entries,
    which never change in its life. The page is reached through the kernel's own mapping of all memory. None where there
    is none, or tables are not of x86-64.
    """
    if await levels(machine) == 0:
        return None
    try:
        table = await entries(machine, space)
        index = next((index for index in range(_X86_HALF, len(table)) if table[index] & _X86_PRESENT), None)
        if index is None:
            return None
        return await alias(machine, space, space + 8 * index)
    except RspError:
        return None
