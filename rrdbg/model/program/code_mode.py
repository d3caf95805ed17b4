"""How an x86 CPU reads its code: 16, 32 or 64 bits, and from which base the instruction pointer counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_CODE_SEGMENT = re.compile(r"^CS =[0-9a-f]{4} ([0-9a-f]+) [0-9a-f]{8} ([0-9a-f]{8})", re.MULTILINE)
_SEGMENT = re.compile(r"^([C-GS]S) =[0-9a-f]{4} ([0-9a-f]+) ", re.MULTILINE)
_DEFAULT_32 = 1 << 22
_LONG = 1 << 21


class CodeMode(StrEnum):
    """The mode, by the name of the architecture that GDB must be told for it to disassemble right."""

    BITS16 = "i8086"
    BITS32 = "i386"
    BITS64 = "i386:x86-64"


def described_as(guest: str) -> CodeMode | None:
    """The mode in which QEMU describes the CPU of ``guest``, as it calls its architecture; None if it is no x86."""
    return {"x86_64": CodeMode.BITS64, "i386": CodeMode.BITS32}.get(guest)


def lines_to_see(mode: str) -> tuple[str, ...]:
    """What GDB is told so that it takes up the description of another ``mode``; all but the last line may fail.

    To forget a file makes it ask for a description anew. One for another mode than it works in it rejects, and cannot
    read the registers then, until it has both; GDB 16 asks no second time by itself.
    """
    return "unset tdesc filename", f"set architecture {mode}", "unset tdesc filename"


@dataclass(frozen=True, slots=True)
class CodeSegment:
    """The ``mode`` of the code segment, and its ``base``, which in 64-bit code is none."""

    mode: CodeMode
    base: int = 0

    def linear(self, pointer: int) -> int:
        """The linear address of an instruction pointer, as breakpoints count it."""
        return pointer if self.mode is CodeMode.BITS64 else (self.base + pointer) & 0xFFFF_FFFF

    def pointer(self, linear: int) -> int:
        """The instruction pointer for a linear address."""
        return linear if self.mode is CodeMode.BITS64 else (linear - self.base) & 0xFFFF_FFFF


def read_code_segment(text: str, *, long: bool) -> CodeSegment | None:
    """What ``info registers`` of QEMU's monitor tells in ``text``; ``long``: whether EFER.LMA is set, of long mode."""
    found = _CODE_SEGMENT.search(text)
    if found is None:
        return None
    base, flags = int(found[1], 16), int(found[2], 16)
    if long and flags & _LONG:
        return CodeSegment(CodeMode.BITS64)
    return CodeSegment(CodeMode.BITS32 if flags & _DEFAULT_32 else CodeMode.BITS16, base)


def read_segment_bases(text: str) -> dict[str, int]:
    """The bases of all segments that ``info registers`` of QEMU's monitor tells in ``text``: ``ds_base`` and so on."""
    return {f"{name.lower()}_base": int(base, 16) for name, base in _SEGMENT.findall(text)}
