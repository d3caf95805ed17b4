"""The tables of an ELF file of the user's, for a little-endian 64-bit machine.

A kernel with all its debugging information has a gigabyte; only what is asked for is read, and that within bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rrdbg.errors import UsageError

SYMBOL_TABLE, NOTE, NO_BITS = 2, 7, 8
"""Kinds of sections."""

_IDENT = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<QQQIHHHHHH")
_HEADER_AT = 24
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_MOST_BYTES = 256 << 20


class Section(NamedTuple):
    """A section's header, field by field; ``name`` is a place in the names."""

    name: int
    kind: int
    flags: int
    address: int
    place: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class Symbol(NamedTuple):
    """A symbol with a name; ``kind`` is 0 without one, 1 for data and 2 for functions."""

    name: str
    kind: int
    section: int
    address: int
    size: int


class ElfTables:
    """An ELF file's header and sections; made by :func:`reading`."""

    def __init__(self, file: BinaryIO, head: bytes) -> None:
        self._file = file
        self.kind = int.from_bytes(head[16:18], "little")
        """1 for one that is to be linked, such as a kernel's module."""
        self.entry, _, place, _, _, _, _, size, count, self._names = _HEADER.unpack_from(head, _HEADER_AT)
        table = _part(file, place, size * count)
        self.sections = [Section(*_SECTION.unpack_from(table, number * size)) for number in range(count)]

    def content(self, section: Section) -> bytes:
        """The bytes of ``section``."""
        return _part(self._file, section.place, section.size)

    def names(self) -> bytes:
        """Where the names of sections lie."""
        return self.content(self.sections[self._names])

    def symbols(self, section: Section, wanted: Callable[[int, int], bool]) -> Iterator[Symbol]:
        """What the symbol table ``section`` has that has a name, and is ``wanted`` for its kind and section."""
        table, texts = self.content(section), self.content(self.sections[section.link])
        for name, info, _, of, value, size in _SYMBOL.iter_unpack(table[: len(table) - len(table) % _SYMBOL.size]):
            if name and wanted(info & 15, of):
                text = texts[name : texts.index(b"\0", name)].decode("latin-1")
                yield Symbol(text, info & 15, of, value, size)


@contextmanager
def reading(path: Path) -> Iterator[ElfTables | None]:
    """The tables of the file at ``path``, as long as it is open; None if it is no ELF file of such a machine.

    :raises UsageError: it cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            head = _part(file, 0, _HEADER_AT + _HEADER.size)
            yield ElfTables(file, head) if head.startswith(_IDENT) else None
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except (struct.error, IndexError, ValueError):
        raise UsageError(f"{path} is a damaged ELF file; its tables lead out of it.") from None


def _part(file: BinaryIO, place: int, size: int) -> bytes:
    if size > _MOST_BYTES:
        raise ValueError(size)
    file.seek(place)
    data = file.read(size)
    if len(data) < size:
        raise ValueError(place)
    return data
