"""Reading kallsyms out of a kernel's memory: the names of its functions and variables, which nearly every kernel has.

The layout is scripts/kallsyms.c's (Linux 4.20 to 7.2). Names are compressed: each byte stands for one of 256 tokens.
The tables have no names themselves, so they are found by what they must look like: in the table of tokens the digits
stand for themselves, one after another. The addresses lie in front of the names up to Linux 6.3, and behind the tokens
from 6.4 on. They are offsets from a base, which lies behind them; in 7.2 from where each of them stands.

Whatever the memory holds, each table must fit the others, and is bounded: a guest may be hostile.
"""

from __future__ import annotations

import itertools
import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_SYMBOLS = 2_000_000
"""Debian's kernels have 150,000."""

LONGEST_NAME = 512
"""Linux allows 511 characters."""

_DIGITS = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00"
_DIGIT = ord("0")
_TOKENS = 256
_MARKED = 256
"""There is a marker for each so many names."""

_ZERO_AND_SMALL = re.compile(rb"(?=\0\0\0\0[\0-\xff]{2}\0\0)", re.DOTALL)
_FIRST_MARKERS = 12
_LEAST, _MOST_STEP = 2 * _MARKED, 512 * _MARKED
_NAME = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$@]*")
_KERNEL_HALF = 1 << 63
_64_BITS = (1 << 64) - 1


def is_name(text: str) -> bool:
    """Whether ``text`` may be a symbol's name; it then has no character that means something to anybody else."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class KernelSymbol:
    """A name, its address, and its kind as nm tells it: ``T`` and ``t`` for code, ``D``, ``b``, ... for data."""

    address: int
    kind: str
    name: str

    @property
    def is_code(self) -> bool:
        """Whether it is a function, as opposed to data."""
        return self.kind in "TtWw"


class Kallsyms:
    """The ``symbols`` of a kernel, in the order of their addresses."""

    def __init__(self, symbols: Sequence[KernelSymbol]) -> None:
        self.symbols = sorted(symbols, key=lambda symbol: symbol.address)
        self._addresses = [symbol.address for symbol in self.symbols]
        self._by_name: dict[str, KernelSymbol] = {}
        for symbol in self.symbols:
            self._by_name.setdefault(symbol.name, symbol)

    def __len__(self) -> int:
        return len(self.symbols)

    def address(self, name: str) -> int | None:
        """The address of ``name``, the lowest one if there are several; None if there is none."""
        symbol = self._by_name.get(name)
        return symbol.address if symbol else None

    def functions(self) -> list[tuple[int, int]]:
        """Where code with a name begins, each up to the next name, in the order of their addresses."""
        pairs = zip(self.symbols, self.symbols[1:], strict=False)
        return [
            (symbol.address, following.address)
            for symbol, following in pairs
            if symbol.is_code and symbol.address >= _KERNEL_HALF and symbol.address < following.address
        ]

    def at(self, address: int) -> KernelSymbol | None:
        """The last symbol at or before ``address``; None if there is none."""
        index = bisect_right(self._addresses, address)
        return self.symbols[index - 1] if index else None


def read_kallsyms(image: bytes, start: int) -> Kallsyms | None:
    """The symbols of the kernel whose read-only data lie in ``image``, at the address ``start``; None without any.

    They are where the kernel takes itself to be: before it has relocated itself that may be elsewhere.
    """
    found = image.find(_DIGITS)
    while found >= 0:
        if (tokens := _tokens(image, found)) and (kallsyms := _Tables(image, start, *tokens).read()):
            return kallsyms
        found = image.find(_DIGITS, found + 1)
    return None


def _tokens(image: bytes, digits: int) -> tuple[int, int, list[str]] | None:
    """Where the table of tokens begins whose digits are at ``digits``, where its index ends, and the tokens."""
    start = digits
    for _ in range(_DIGIT):
        start = image.rfind(b"\0", max(0, start - LONGEST_NAME), start - 1) + 1
        if not start:
            return None
    tokens, place, offsets = [], start, []
    for _ in range(_TOKENS):
        end = image.find(b"\0", place, place + LONGEST_NAME)
        if end < 0:
            return None
        offsets.append(place - start)
        tokens.append(image[place:end].decode("latin-1"))
        place = end + 1
    index = array("H", [offset & 0xFFFF for offset in offsets])
    if sys.byteorder == "big":
        index.byteswap()
    behind = image.find(index.tobytes(), place, place + 16 + 2 * _TOKENS)
    return (start, behind + 2 * _TOKENS, tokens) if behind >= 0 else None


class _Tables:
    """The tables around that of the tokens, which begins at ``start`` and ends, index and all, at ``end``."""

    def __init__(self, image: bytes, image_start: int, start: int, end: int, tokens: list[str]) -> None:
        self._image = image
        self._image_start = image_start
        self._start = start
        self._end = end
        self._tokens = tokens

    def read(self) -> Kallsyms | None:
        for markers in self._marker_places():
            for names, count in self._name_places(markers):
                texts = self._texts(names, count, markers)
                addresses = self._addresses(names, count) if texts else None
                if texts and addresses:
                    found = zip(addresses, texts, strict=True)
                    return Kallsyms(
                        [KernelSymbol(address, text[0], text[1:]) for address, text in found if _is_good(text)]
                    )
        return None

    def _number(self, place: int, size: int) -> int:
        return int.from_bytes(self._image[place : place + size], "little")

    def _marker_places(self) -> Iterator[int]:
        """Where the table of markers may begin: 0, and then steps as large as 256 names are; the nearest first."""
        low = max(0, self._start - (MOST_SYMBOLS // _MARKED) * 4 - 3 * MOST_SYMBOLS)
        places = [found.start() for found in _ZERO_AND_SMALL.finditer(self._image, low, self._start)]
        for place in reversed(places):
            if place % 4 == 0 and self._has_markers(place):
                yield place

    def _has_markers(self, place: int) -> bool:
        values = [self._number(place + 4 * number, 4) for number in range(_FIRST_MARKERS)]
        return all(_LEAST <= after - before <= _MOST_STEP for before, after in itertools.pairwise(values))

    def _name_places(self, markers: int) -> Iterator[tuple[int, int]]:
        """Where the names may begin, and how many there are then: the number stands in front of them."""
        values = [0]
        while _LEAST <= (value := self._number(markers + 4 * len(values), 4)) - values[-1] <= _MOST_STEP:
            values.append(value)
        for count_of_markers in range(len(values), max(len(values) - 3, 0), -1):
            # A table that follows may look like one more marker.
            last = values[count_of_markers - 1]
            nearest = (markers - last) & ~3
            least, most = (count_of_markers - 1) * _MARKED, min(count_of_markers * _MARKED, MOST_SYMBOLS)
            for names in range(nearest, max(nearest - _MOST_STEP, 8), -4):
                count = self._number(names - 4, 4) or self._number(names - 8, 4)
                if least < count <= most:
                    yield names, count

    def _texts(self, names: int, count: int, markers: int) -> list[str] | None:
        """The ``count`` names, each behind the letter of its kind; None if they do not fit the markers."""
        image, tokens = self._image, self._tokens
        texts = []
        place = names
        for number in range(count):
            if number % _MARKED == 0 and self._number(markers + number // _MARKED * 4, 4) != place - names:
                return None
            length = image[place]
            place += 1
            if length & 0x80:
                length = length & 0x7F | image[place] << 7
                place += 1
            if not 0 < length <= LONGEST_NAME or place + length > markers:
                return None
            texts.append("".join([tokens[byte] for byte in image[place : place + length]]))
            place += length
        return texts

    def _addresses(self, names: int, count: int) -> Sequence[int] | None:
        """The names' addresses, however they are stored; None if they are not in order as they must be."""
        size, aligned = (4 * count + 7) & ~7, (self._end + 7) & ~7
        for place in (names - 16 - size, aligned):
            start = self._number(place + size, 8)
            if (
                place >= 0
                and start >= _KERNEL_HALF
                and (found := _in_order(_based(self._offsets(place, count), start)))
            ):
                return found
        place = (self._end + 3) & ~3
        here = self._image_start + place
        offsets = self._offsets(place, count)
        return _in_order([here + 4 * number + offset for number, offset in enumerate(offsets)])

    def _offsets(self, place: int, count: int) -> Sequence[int]:
        values = array("i")
        values.frombytes(self._image[place : place + 4 * count].ljust(4 * count, b"\0"))
        if sys.byteorder == "big":
            values.byteswap()
        return values


def _based(values: Sequence[int], start: int) -> Sequence[int]:
    """The addresses of offsets ``values`` from ``start``.

    With absolute per-CPU addresses (x86 up to 6.14) those of all others are negative, and count from behind.
    """
    if 2 * sum(value < 0 for value in values) > len(values):
        return [value if value >= 0 else start - 1 - value for value in values]
    return [start + (value & 0xFFFF_FFFF) for value in values]


def _in_order(addresses: Sequence[int]) -> Sequence[int] | None:
    """``addresses``, unless one is lower than that before, or none at all."""
    if any(after < before for before, after in itertools.pairwise(addresses)):
        return None
    return addresses if addresses[0] >= 0 and addresses[-1] <= _64_BITS else None


def _is_good(text: str) -> bool:
    return 1 < len(text) <= LONGEST_NAME and _NAME.fullmatch(text, 1) is not None and text[0].isalpha()
