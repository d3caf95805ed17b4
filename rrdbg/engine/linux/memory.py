"""The memory of a stopped machine as its kernel sees it: RAM read out of QEMU's own memory, and the page tables in it.

That takes 20 ms for the 30 MB of a kernel, of which the gdbstub would give 1 KB in 0.2 ms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from rrdbg.engine.machines.ram import RamRange, ram_of
from rrdbg.errors import LinkError
from rrdbg.links.address_space import space_in_use
from rrdbg.links.machine import Machine
from rrdbg.links.page_tables import levels
from rrdbg.model.linux.paging import Paging, Stretch, aarch64_paging, riscv_paging, x86_paging

_ROOT = 0x0000_FFFF_FFFF_F000
_X86_KERNEL = (0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_C000_0000)
"""Where the kernel's image is, if it is not just anywhere in the upper half."""

_RISCV_KERNEL = (0xFFFF_FFFF_8000_0000, 1 << 64)
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Tables:
    """The page tables that map the kernel: their form, their root, and where in them its image may be.

    ``users`` is the form of those of processes.
    """

    paging: Paging
    root: int
    low: int
    high: int
    users: Paging


async def kernel_tables(machine: Machine) -> Tables | None:
    """The tables in use where ``machine`` stands; None where there are none, or none that are known here."""
    names = machine.register_file.registers
    if "cr3" in names:
        root, depth = await space_in_use(machine), await levels(machine)
        if root is None or not depth:
            return None
        paging = x86_paging(five_levels=depth == 5)
        return Tables(paging, root, *_X86_KERNEL, paging)
    if "TTBR1_EL1" in names:
        control, root = await machine.register("TCR_EL1"), await machine.register("TTBR1_EL1")
        upper, users = aarch64_paging(control or 0), aarch64_paging(control or 0, lower=True)
        return Tables(upper, root & _ROOT, upper.upper_half, 1 << 64, users) if upper and users and root else None
    if "satp" in names:
        satp = await machine.register("satp") or 0
        sv = riscv_paging(satp >> 60)
        return Tables(sv, (satp & (1 << 44) - 1) << 12, *_RISCV_KERNEL, sv) if sv else None
    return None


class GuestRam:
    """The RAM of a stopped machine; made by :meth:`of_machine`, used as a context."""

    def __init__(self, file: int, ranges: Sequence[RamRange]) -> None:
        self._file = file
        self._ranges = ranges

    @classmethod
    async def of_machine(cls, machine: Machine) -> GuestRam:
        """That of ``machine``.

        :raises LinkError: it cannot be read here.
        """
        return GuestRam(_opened(machine.process.pid), await ram_of(machine.qmp))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let it go."""
        os.close(self._file)

    def physical(self, address: int, length: int) -> bytes:
        """The bytes at a physical address, as far as there is RAM."""
        for part in self._ranges:
            offset = address - part.start
            if 0 <= offset < part.length:
                return os.pread(self._file, min(length, part.length - offset), part.host + offset)
        return b""


class KernelMemory(GuestRam):
    """What a kernel has in its memory where a machine stands; made by :meth:`of`, used as a context."""

    def __init__(self, file: int, ranges: Sequence[RamRange], tables: Tables) -> None:
        super().__init__(file, ranges)
        self._tables = tables

    @classmethod
    async def of(cls, machine: Machine) -> Self | None:
        """That of ``machine``; None where no page tables of a 64-bit kernel are in use.

        :raises LinkError: it cannot be read here.
        """
        tables = await kernel_tables(machine)
        return cls(_opened(machine.process.pid), await ram_of(machine.qmp), tables) if tables else None

    def of_space(self, root: int) -> Self:
        """The same memory by the page tables of a process, whose ``root`` is a physical address; closed with this."""
        return type(self)(self._file, self._ranges, replace(self._tables, root=root, paging=self._tables.users))

    def frame(self, address: int) -> int | None:
        """The physical address of an address of the kernel's; None where nothing is mapped."""
        for stretch in self._stretches(address, address + 1):
            return stretch.physical + address - stretch.start
        return None

    def image(self) -> Iterator[Stretch]:
        """The stretches that may hold the kernel's image, in the order of their addresses."""
        yield from self._stretches(self._tables.low, self._tables.high)

    def read(self, address: int, length: int) -> bytes:
        """The bytes at an address of the kernel's, as far as they are mapped from there on without a gap."""
        found = bytearray()
        for stretch in self._stretches(address, address + length):
            skip = address + len(found) - stretch.start
            if skip < 0:
                break
            found += self.physical(stretch.physical + skip, min(length - len(found), stretch.length - skip))
        return bytes(found)

    def number(self, address: int, size: int = 8) -> int | None:
        """The unsigned number at an address; None where nothing is mapped."""
        raw = self.read(address, size)
        return int.from_bytes(raw, "little") if len(raw) == size else None

    def _stretches(self, low: int, high: int) -> Iterator[Stretch]:
        tables = self._tables
        yield from tables.paging.stretches(self.physical, tables.root, low, high)


def _opened(pid: int) -> int:
    """The memory of the QEMU ``pid``, to be read."""
    try:
        return os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LinkError(
            f"The memory of QEMU (pid {pid}) cannot be read: {error.strerror}. The kernel setting "
            "yama.ptrace_scope may forbid it (0 and 1 allow it)."
        ) from None


Look = Callable[[KernelMemory], None]
