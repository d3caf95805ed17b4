"""Which guest addresses are a device's, as QEMU's monitor tells."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrdbg.links.machine import Machine
from rrdbg.links.translation import physical_here

_VIEW = re.compile(r"^FlatView #\d+\n((?:.|\n)*?)(?=^FlatView|\Z)", re.MULTILINE)
_MEMORY = re.compile(r'^ AS "(?:memory|cpu-memory-0)"', re.MULTILINE)
"""The board's address space, and the CPU's own, where boards such as the micro:bit's have all of it."""

_RANGE = re.compile(r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, i/o\): (.+?)(?: @[0-9a-f]+)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Device:
    """A device by QEMU's ``name``, and the physical ``addresses`` of its registers.

    Reading from such an address does something to the device.
    """

    name: str
    addresses: range


async def devices(machine: Machine) -> list[Device]:
    """All that the CPU has in memory where ``machine`` stands."""
    text = (await machine.monitor("info mtree -f")).replace("\r", "")
    views = [match[1] for match in _VIEW.finditer(text) if _MEMORY.search(match[1])]
    listed = next((found for view in views if (found := _RANGE.findall(view))), [])
    return [Device(name, range(int(low, 16), int(high, 16) + 1)) for low, high, name in listed]


async def device_at(machine: Machine, address: int) -> str | None:
    """The device whose registers lie at a virtual address, by QEMU's name; None where there is memory, or nothing."""
    physical = await physical_here(machine, address)
    if physical is None:
        return None
    return next((device.name for device in await devices(machine) if physical in device.addresses), None)
