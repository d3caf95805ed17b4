"""How functions are called and return where a call leaves the address to return to in a register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

_THUMB = 1 << 5
"""In ``cpsr``: 16- and 32-bit instructions. A Cortex-M has no other, and no ``cpsr``."""


@dataclass(frozen=True, slots=True)
class Linkage:
    """An architecture's: the registers that have the address to return to and the top of the stack, by GDB's names.

    ``modes`` are the bits of registers by which the code of exceptions is told from what they interrupt.
    ``is_return`` says whether an instruction, given by its first four bytes, is one that returns; with the CPU's
    registers, which tell how it reads code.
    """

    link: str
    stack: str
    modes: Mapping[str, int]
    is_return: Callable[[bytes, Mapping[str, int]], bool]

    def mode(self, registers: Mapping[str, int]) -> tuple[int, ...]:
        """In which mode the CPU is, to be compared with others."""
        return tuple(registers.get(name, 0) & mask for name, mask in self.modes.items())


def linkage_of(architecture: str) -> Linkage | None:
    """That of an architecture, as QEMU calls it; None for those that call by the stack, and for unknown ones."""
    return _LINKAGES.get(architecture)


def is_call(before: int, after: int, link: int) -> bool:
    """Whether the instruction at ``before``, behind which the CPU is at ``after`` with the ``link``, was a call."""
    return not follows(before, after) and link & ~1 in (before + 2, before + 4)


def follows(before: int, after: int) -> bool:
    """Whether ``after`` is the instruction behind the one at ``before``, or as good as that."""
    return after - before in (0, 2, 4)


def _word(code: bytes, order: Literal["little", "big"] = "little") -> int:
    return int.from_bytes(code[:4], order)


def _arm(code: bytes, registers: Mapping[str, int]) -> bool:
    if registers.get("cpsr", _THUMB) & _THUMB:
        first, second = int.from_bytes(code[:2], "little"), int.from_bytes(code[2:4], "little")
        wide = (first == 0xE8BD and second & 0x8000) or (first, second) == (0xF85D, 0xFB04)
        return first in (0x4770, 0x46F7) or first & 0xFF00 == 0xBD00 or bool(wide)
    plain = _word(code) & 0x0FFF_FFFF  # the first four bits are a condition
    return plain in (0x12F_FF1E, 0x1A0_F00E, 0x49D_F004) or plain & 0xFFF_8000 == 0x8BD_8000


def _aarch64(code: bytes, _: Mapping[str, int]) -> bool:
    word = _word(code)
    return word & 0xFFFF_FC1F == 0xD65F_0000 or word in (0xD65F_0BFF, 0xD65F_0FFF)


def _riscv(code: bytes, _: Mapping[str, int]) -> bool:
    return _word(code) == 0x8067 or _word(code) & 0xFFFF == 0x8082


def _ppc(code: bytes, _: Mapping[str, int]) -> bool:
    return _word(code, "big") & 0xFC00_07FF == 0x4C00_0020


_ARM = Linkage("lr", "sp", {"cpsr": 0x1F, "xpsr": 0x1FF}, _arm)
_RISCV = Linkage("ra", "sp", {"priv": 3}, _riscv)
_PPC = Linkage("lr", "r1", {"msr": 1 << 14}, _ppc)
_LINKAGES = {
    "arm": _ARM, "aarch64": Linkage("x30", "sp", {"cpsr": 0xF}, _aarch64), "riscv64": _RISCV, "riscv32": _RISCV,
    "ppc": _PPC, "ppc64": _PPC,
}  # fmt: skip
