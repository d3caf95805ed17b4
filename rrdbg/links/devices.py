"""Whether a guest address is memory or a device, as QEMU's monitor tells."""

from __future__ import annotations

import re

from rrdbg.links.machine import Machine
from rrdbg.links.translation import physical_here

_VIEW = re.compile(r"^FlatView #\d+\n((?:.|\n)*?)(?=^FlatView|\Z)", re.MULTILINE)
_MEMORY = re.compile(r'^ AS "memory"', re.MULTILINE)
_RANGE = re.compile(r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, i/o\): (.+?)(?: @[0-9a-f]+)?$", re.MULTILINE)


async def device_at(machine: Machine, address: int) -> str | None:
    """The device whose registers lie at a virtual address, by QEMU's name; None where there is memory, or nothing.

    Reading from such an address would do something to the device.
    """
    physical = await physical_here(machine, address)
    if physical is None:
        return None
    text = (await machine.monitor("info mtree -f")).replace("\r", "")
    view = next((match[1] for match in _VIEW.finditer(text) if _MEMORY.search(match[1])), "")
    for low, high, name in _RANGE.findall(view):
        if int(low, 16) <= physical <= int(high, 16):
            return str(name)
    return None
