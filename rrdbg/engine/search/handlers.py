"""Where a guest's handlers of exceptions begin: so a plugin that is told of no exceptions knows when one comes."""

from __future__ import annotations

import re

from rrdbg.errors import RspError
from rrdbg.links.machine import Machine

_IDT = re.compile(r"^IDT=\s*([0-9a-f]+) ([0-9a-f]+)", re.MULTILINE)
_PROTECTED = 1
_GATES = 256
_AARCH64_VECTORS = range(0, 0x800, 0x80)


async def exception_handlers(machine: Machine) -> frozenset[int]:
    """The linear addresses of their first instructions where ``machine`` stands; none where they are not known."""
    names = machine.register_file.registers
    if "VBAR_EL1" in names:
        base = await machine.register("VBAR_EL1") or 0
        return frozenset(base + offset for offset in _AARCH64_VECTORS)
    if "stvec" in names:
        vectors = [await machine.register(name) for name in ("stvec", "mtvec") if name in names]
        return frozenset(vector & ~3 for vector in vectors if vector)
    return await _x86(machine) if "cr0" in names else frozenset()


async def _x86(machine: Machine) -> frozenset[int]:
    table = _IDT.search(await machine.qmp.monitor("info registers"))
    if table is None:
        return frozenset()
    base, limit = int(table[1], 16), int(table[2], 16)
    long = machine.register_file.is_long(await machine.register_packet())
    size = 16 if long else 8 if (await machine.register("cr0") or 0) & _PROTECTED else 4
    try:
        raw = await machine.read_memory(base, min(limit + 1, _GATES * size))
    except RspError:
        return frozenset()
    gates = [raw[place : place + size] for place in range(0, len(raw) - size + 1, size)]
    return frozenset(map(_real if size == 4 else _protected, gates)) - {0}


def _real(gate: bytes) -> int:
    return int.from_bytes(gate[:2], "little") + 16 * int.from_bytes(gate[2:], "little")


def _protected(gate: bytes) -> int:
    """Of an entry's address there are two parts in the gate, in long mode three; its segment begins at 0."""
    return int.from_bytes(gate[0:2] + gate[6:8] + gate[8:12], "little")
