"""How functions are called on an architecture: where a call leaves its return address, its stack and its result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rrdbg.errors import RspError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.links.reading import Missing, Reading, Value
from rrdbg.links.registers import RegisterFile
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.code_mode import CodeMode

_REFERENCES = {4: b"\x19", 8: b"\x1a"}
_EFER_LMA = 1 << 10


@dataclass(frozen=True, slots=True)
class Convention:
    """Where a call leaves what we want: on the ``stack`` (bytes of a return address there) or in ``link``.

    ``odd`` tells that the lowest bit of an address of code says something else.
    """

    sp: str
    result: str
    stack: int = 0
    link: str = ""
    odd: bool = False


_X86_64 = Convention("rsp", "rax", stack=8)
_SHORT = Convention("rsp", "rax", stack=4)
"""32-bit code on the same CPU."""

_ARM = Convention("sp", "r0", link="lr", odd=True)
_CONVENTIONS = {
    "rsp": _X86_64,
    "esp": Convention("esp", "eax", stack=4),
    "x30": Convention("sp", "x0", link="x30"),
    "ra": Convention("sp", "a0", link="ra"),
    "cpsr": _ARM,
    "xpsr": _ARM,
}
"""By a register that no architecture before it has: x86-64, x86, AArch64, RISC-V, Arm and Cortex-M."""


async def way_back(machine: Machine) -> tuple[int, int]:
    """At a function's entry: the address that it will return to, and the stack pointer then.

    :raises UsageError: how calls are made on the guest's architecture is not known.
    """
    registers = await machine.registers()
    convention = await _convention_at(machine, registers)
    sp = registers[convention.sp]
    if convention.link:
        return registers[convention.link] & (~1 if convention.odd else ~0), sp
    try:
        raw = await machine.read_memory(sp, convention.stack)
    except RspError:
        return 0, 0
    return int.from_bytes(raw, machine.register_file.byte_order), sp + convention.stack


async def returning(machine: Machine) -> tuple[int, int]:
    """Where a call may be returning: the stack pointer and the register of results."""
    registers = await machine.registers()
    convention = await _convention_at(machine, registers)
    return registers[convention.sp], registers[convention.result]


async def _convention_at(machine: Machine, registers: Collection[str]) -> Convention:
    found = _convention(registers)
    if found is _X86_64 and (segment := await machine.code_segment()) and segment.mode is not CodeMode.BITS64:
        return _SHORT
    return found


def _convention(registers: Collection[str]) -> Convention:
    found = next((_CONVENTIONS[name] for name in _CONVENTIONS if name in registers), None)
    if found is None:
        raise UsageError("How functions are called on this architecture is not known; use tprintf.")
    return found


class Ways:
    """The same, by what QEMU's plugin reads in a guest with this ``layout`` of registers."""

    def __init__(self, layout: RegisterFile) -> None:
        self._layout = layout
        self._convention = _convention(layout.registers)
        self.long_selectors: set[int] = set()
        """Code segments that are known to be of 64-bit code."""
        self.at_entry = self._at_entry()
        """What is to be read at a function's entry."""
        registers = self._convention.sp, self._convention.result
        self.at_return = tuple(_reading(self._register(name)) for name in registers)
        """What is to be read where a call may be returning: as :func:`returning`."""

    def _at_entry(self) -> tuple[Reading, ...]:
        convention = self._convention
        sp = self._register(convention.sp)
        if convention.link:
            back = self._register(convention.link) + (b"\x22\x01\x12\x0f" if convention.odd else b"")
            return _reading(back, back=True), _reading(sp)
        if convention is not _X86_64:
            return _reading(sp + _REFERENCES[convention.stack], back=True), _reading(sp)
        modes = [self._register(name) for name in ("cs", "efer")]
        backs = [_reading(sp + _REFERENCES[size], back=True) for size in (8, 4)]
        return (*backs, _reading(sp), *map(_reading, modes))

    def back(self, values: tuple[Value, ...]) -> tuple[int, int] | int | None:
        """As :func:`way_back`, by the ``values`` of :attr:`at_entry`; None if they do not say.

        Or a selector: it does if this is one of :attr:`long_selectors`.
        """
        size = self._convention.stack
        if self._convention is _X86_64:
            long, short, sp, selector, features = values
            if not isinstance(selector, int) or not isinstance(features, int):
                return None
            if features & _EFER_LMA and selector not in self.long_selectors:
                return selector
            size = 8 if features & _EFER_LMA else 4
            back = long if features & _EFER_LMA else short
        else:
            back, sp = values
        if isinstance(back, Missing):
            return 0, 0
        return (back, sp + size) if isinstance(back, int) and isinstance(sp, int) else None

    def _register(self, name: str) -> bytes:
        return b"\x26" + list(self._layout.registers).index(name).to_bytes(2, "big")


def _reading(code: bytes, *, back: bool = False) -> Reading:
    return Reading(Expression(code + b"\x27"), back=back)
