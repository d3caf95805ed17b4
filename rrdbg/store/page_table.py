"""The table of a snapshot: which slot of ``ram/pages.bin`` each page of guest RAM is in, 0 for a page of zeros.

Tables are ``array("I")`` by page number. One of 4 GiB has a million entries, so they are compared by pieces in C.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.store.files import write_atomically
from rrdbg.store.opening import read_inside

_CHUNK = 1024
_PIECE = 32
_MOST_TABLE = 1 << 28
"""Bytes of a packed table; one of 64 GiB of RAM has 67 million unpacked."""


def write_table(path: Path, table: array[int]) -> None:
    """Write a table, all or nothing."""
    little = array("I", table)
    if sys.byteorder == "big":
        little.byteswap()
    write_atomically(path, zlib.compress(little.tobytes(), 1))


def read_table(path: Path, pages: int) -> array[int]:
    """Read the table of a machine with so many ``pages``.

    :raises RecordingError: it is missing or damaged.
    """
    try:
        reader = zlib.decompressobj()
        data = reader.decompress(read_inside(path.parent, path.name, _MOST_TABLE), 4 * pages + 1)
    except (OSError, zlib.error) as error:
        raise RecordingError(f"{path} cannot be read ({error}); 'rrdbg index' makes the snapshot again.") from None
    if len(data) != 4 * pages or not reader.eof:
        raise RecordingError(f"{path} is damaged; 'rrdbg index' makes the snapshot again.")
    table = array("I", data)
    if sys.byteorder == "big":
        table.byteswap()
    return table


def in_use(table: array[int]) -> Iterator[range]:
    """The stretches of pages that hold anything but zeros, in order; a few that do may be among them."""
    return differing(table, array("I", bytes(4 * len(table))))


def differing(table: array[int], other: array[int]) -> Iterator[range]:
    """The stretches of pages in which two tables differ, in order; a few in which they do not may be among them.

    A thousand entries are compared in a microsecond, and a thousand pages that lie together count as one stretch
    without a look at each: a guest that has filled a gigabyte has 262,144 of them.
    """
    low = high = 0
    for found in _unlike_pieces(table, other):
        if found.start == high:
            high = found.stop
            continue
        if high > low:
            yield range(low, high)
        low, high = found.start, found.stop
    if high > low:
        yield range(low, high)


def together(table: array[int], first: int, stop: int) -> int:
    """How many pages from ``first`` on, and before ``stop``, lie in one slot after the other, or are zeros all."""
    slot, end = table[first], first + 1
    step = 1 if slot else 0
    while end < min(stop, first + _PIECE) and table[end] == slot + step * (end - first):
        end += 1
    size = _PIECE if end == first + _PIECE else 0  # most are short
    while end < stop and size:
        size = min(size, stop - end)
        if table[end : end + size] == _following(slot, end - first, size):
            end += size
            size = min(2 * size, _CHUNK)
        else:
            size //= 2
    return end - first


def _following(slot: int, offset: int, size: int) -> array[int]:
    return array("I", range(slot + offset, slot + offset + size)) if slot else array("I", bytes(4 * size))


def _unlike_pieces(table: array[int], other: array[int]) -> Iterator[range]:
    for start in _unlike(table, other, range(0, len(table), _CHUNK), _CHUNK):
        stop = min(start + _CHUNK, len(table))
        if together(table, start, stop) == stop - start:
            yield range(start, stop)
            continue
        for piece in _unlike(table, other, range(start, stop, _PIECE), _PIECE):
            mine, theirs = table[piece : piece + _PIECE], other[piece : piece + _PIECE]
            for number, (one, two) in enumerate(zip(mine, theirs, strict=True), piece):
                if one != two:
                    yield range(number, number + 1)


def _unlike(table: array[int], other: array[int], starts: Iterable[int], size: int) -> Iterator[int]:
    return (start for start in starts if table[start : start + size] != other[start : start + size])
