"""Page tables as a processor walks them: which stretches of virtual addresses are mapped to where.

A guest's tables may lead anywhere, also to themselves, so no more than :data:`MOST_TABLES` are looked at, and memory
that is not there maps nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MOST_TABLES = 2_048
"""A gigabyte that is mapped in pages of 4 KiB takes 512; so many take a second or two."""

ReadPhysical = Callable[[int, int], bytes]
"""``length`` bytes at a physical address; none where there is no RAM."""

_ENTRY = struct.Struct("<Q")
_64_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """``length`` bytes at the virtual address ``start`` that lie at ``physical``."""

    start: int
    physical: int
    length: int

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Paging:
    """The form of 64-bit page tables: a page has ``1 << shift`` bytes, a table of the ``levels`` ``1 << bits`` entries.

    ``leads`` tells of an entry and its level (1 is the last) where it leads to, and whether that is mapped memory and
    no table; None if it is not valid. Of an address the lower ``width`` bits are looked up, all by default.
    """

    levels: int
    leads: Callable[[int, int], tuple[int, bool] | None]
    shift: int = 12
    bits: int = 9
    width: int = 64

    @property
    def upper_half(self) -> int:
        """The lowest address of the upper half, where a kernel lives."""
        return -(1 << (self.shift + self.bits * self.levels - 1)) & _64_BITS

    def stretches(self, read: ReadPhysical, root: int, low: int, high: int) -> Iterator[Stretch]:
        """What the tables at ``root`` map between two addresses of one half, neighbours put together."""
        last: Stretch | None = None
        for stretch in self._single(read, root, low, high):
            if last and stretch.start == last.end and stretch.physical == last.physical + last.length:
                last = Stretch(last.start, last.physical, last.length + stretch.length)
                continue
            if last:
                yield last
            last = stretch
        if last:
            yield last

    def _single(self, read: ReadPhysical, root: int, low: int, high: int) -> Iterator[Stretch]:
        """Those of single entries, in their order."""
        # What is left to be looked at, the next one last: a table and its level, or what an entry maps.
        base = -(1 << self.shift_at(self.levels + 1)) if low >> 63 else 0
        left: list[tuple[int, int, int] | Stretch] = [(root, self.levels, base)]
        looked_at = 0
        while left:
            item = left.pop()
            if isinstance(item, Stretch):
                yield item
                continue
            looked_at += 1
            if looked_at > MOST_TABLES:
                return
            left += reversed(self._entries(read, *item, low, high))

    def _entries(
        self, read: ReadPhysical, table: int, level: int, base: int, low: int, high: int
    ) -> list[tuple[int, int, int] | Stretch]:
        """What the entries of one table lead to, as far as it is about addresses from ``low`` to ``high``."""
        raw = read(table, 8 << self.bits)
        size = 1 << self.shift_at(level)
        found: list[tuple[int, int, int] | Stretch] = []
        for number, (entry,) in enumerate(_ENTRY.iter_unpack(raw[: len(raw) & ~7])):
            if not entry:
                continue
            start = (base + number * size) & _64_BITS
            if start >= high or start + size <= low:
                continue
            if led := self.leads(entry, level):
                where, mapped = led
                found.append(
                    Stretch(start, where & -size, size) if mapped else (where, level - 1, base + number * size)
                )
        return found

    def shift_at(self, level: int) -> int:
        """How many bits of an address lie below those that an entry of a table at ``level`` stands for."""
        return self.shift + self.bits * (level - 1)


def x86_paging(*, five_levels: bool) -> Paging:
    """That of x86-64."""

    def leads(entry: int, level: int) -> tuple[int, bool] | None:
        if not entry & 1:
            return None
        return entry & 0x000F_FFFF_FFFF_F000, level == 1 or (level <= 3 and bool(entry & 1 << 7))

    return Paging(5 if five_levels else 4, leads)


def riscv_paging(mode: int) -> Paging | None:
    """That of RISC-V by satp's mode: Sv39, Sv48 or Sv57; None where there are no tables."""

    def leads(entry: int, level: int) -> tuple[int, bool] | None:
        mapped = bool(entry & 0b1110)
        if not entry & 1 or (level == 1 and not mapped):
            return None
        return (entry >> 10 & (1 << 44) - 1) << 12, mapped

    return Paging(mode - 5, leads) if mode in (8, 9, 10) else None


_LOWER_GRANULES, _GRANULES = {0b00: 12, 0b01: 16, 0b10: 14}, {0b01: 14, 0b10: 12, 0b11: 16}
"""The number of bits of an address in a page, by TCR_EL1.TG0 and TG1."""


def aarch64_paging(control: int, *, lower: bool = False) -> Paging | None:
    """That of AArch64's upper or ``lower`` half by TCR_EL1; None where that has none."""
    shift = _LOWER_GRANULES.get(control >> 14 & 3) if lower else _GRANULES.get(control >> 30 & 3)
    if shift is None:
        return None
    bits = shift - 3

    def leads(entry: int, level: int) -> tuple[int, bool] | None:
        is_table = bool(entry & 2)
        if not entry & 1 or (level == 1 and not is_table):
            return None
        return entry & ((1 << 48) - 1) & -(1 << shift), level == 1 or not is_table

    wide = 64 - (control >> (0 if lower else 16) & 0x3F)
    return Paging(-(-(wide - shift) // bits), leads, shift, bits, wide)
