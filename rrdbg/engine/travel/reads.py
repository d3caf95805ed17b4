"""What is read of the guest's memory at a cursor, which may be a device's registers.

QEMU's gdbstub reads those as the guest does: an interrupt controller then takes an interrupt for acknowledged, a serial
port gives up a character. A machine that was read from so follows its log no longer, so another one takes its place.
"""

from __future__ import annotations

from collections.abc import Awaitable

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.travel.cursor import Cursor
from rrdbg.links.devices import Device, devices
from rrdbg.links.machine import Machine
from rrdbg.links.translation import physical_here
from rrdbg.model.timeline.position import Position

PAGE = 0x1000
_ROOTS = ("cr3", "TTBR0_EL1", "TTBR0", "satp")
_NEAR = 100_000
"""A guest maps its devices once, mostly; within so many instructions what is mapped is taken to stay where it is."""


class Reads:
    """Reads at ``cursor``; where there is a ``single`` QEMU no other one can take its place."""

    def __init__(self, cursor: Cursor, *, single: bool) -> None:
        self._cursor = cursor
        self._single = single
        self._machine: Machine | None = None
        self._asked_at = Position(0)
        self._devices: list[Device] = []
        self._frames: dict[tuple[int | None, int], int] = {}
        self.device_pages: set[int] = set()
        """The numbers of virtual pages at which there was a device when it was read, at one position or another."""

    async def virtual(self, address: int, length: int) -> bytes:
        """The bytes at a virtual address.

        :raises RspError: it is not mapped there.
        """
        walker = await self._cursor.walker()
        device = await self._meets(walker, address, length)
        return await self._read(walker.machine.read_memory(address, length), device)

    async def physical(self, address: int, length: int) -> bytes:
        """The bytes at a physical address.

        :raises RspError: there is nothing, or QEMU cannot tell.
        """
        walker = await self._cursor.walker()
        await self._ask(walker)
        return await self._read(walker.machine.read_physical(address, length), self._is_device(address, length))

    async def _read(self, bytes_there: Awaitable[bytes], device: bool) -> bytes:
        try:
            return await bytes_there
        finally:
            if device and not self._single:
                await self._cursor.drop()

    async def _meets(self, walker: Walker, address: int, length: int) -> bool:
        """Whether a virtual address leads to a device where ``walker`` stands."""
        await self._ask(walker)
        root = await _root(walker.machine)
        found = False
        for page in range(address // PAGE, (address + max(length, 1) - 1) // PAGE + 1):
            frame = self._frames.get((root, page))
            if frame is None:
                frame = await physical_here(walker.machine, page * PAGE)
                if frame is None:
                    continue
                self._frames[root, page] = frame
            low, high = max(address, page * PAGE), min(address + length, (page + 1) * PAGE)
            if self._is_device(frame + low % PAGE, high - low):
                self.device_pages.add(page)
                found = True
        return found

    def _is_device(self, address: int, length: int) -> bool:
        return any(
            device.addresses.start < address + length and address < device.addresses.stop for device in self._devices
        )

    async def _ask(self, walker: Walker) -> None:
        """Know where the devices are."""
        if walker.machine is not self._machine or abs(walker.position.icount - self._asked_at.icount) > _NEAR:
            self._devices = await devices(walker.machine)
            self._frames.clear()
            self._machine, self._asked_at = walker.machine, walker.position


async def _root(machine: Machine) -> int | None:
    """What changes where other page tables are in use."""
    known = next((name for name in _ROOTS if name in machine.register_file.registers), None)
    return await machine.register(known) if known else None
