"""The tables of an ELF file of the user's, for a little-endian machine.

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


class _Form(NamedTuple):
    """How the tables lie in a file for machines of one size; the fields of a symbol are in another order by it."""

    word: int
    header: struct.Struct
    section: struct.Struct
    symbol: struct.Struct
    value: int
    size: int
    info: int
    of: int


_FORMS = {
    b"\x7fELF\x02\x01": _Form(
        8, struct.Struct("<QQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), 4, 5, 1, 3
    ),
    b"\x7fELF\x01\x01": _Form(
        4, struct.Struct("<IIIIHHHHHH"), struct.Struct("<IIIIIIIIII"), struct.Struct("<IIIBBH"), 1, 2, 3, 5
    ),
}
"""By what such a file begins with."""

_HEADER_AT = 24
_HEAD = _HEADER_AT + max(form.header.size for form in _FORMS.values())


class ElfTables:
    """An ELF file's header and sections; made by :func:`reading`."""

    def __init__(self, file: BinaryIO, head: bytes, form: _Form) -> None:
        self._file = file
        self._form = form
        self.word = form.word
        """Bytes of an address: 8 or 4."""
        self.kind, self.machine = (int.from_bytes(head[at : at + 2], "little") for at in (16, 18))
        """The kind is 1 for one that is to be linked, such as a kernel's module."""
        self.entry, _, place, _, _, _, _, size, count, self._names = form.header.unpack_from(head, _HEADER_AT)
        table = _part(file, place, size * count)
        self.sections = [Section(*form.section.unpack_from(table, number * size)) for number in range(count)]

    def content(self, section: Section) -> bytes:
        """The bytes of ``section``."""
        return _part(self._file, section.place, section.size)

    def names(self) -> bytes:
        """Where the names of sections lie."""
        return self.content(self.sections[self._names])

    def symbols(self, section: Section, wanted: Callable[[int, int], bool]) -> Iterator[Symbol]:
        """What the symbol table ``section`` has that has a name, and is ``wanted`` for its kind and section."""
        table, texts = self.content(section), self.content(self.sections[section.link])
        form = self._form
        for fields in form.symbol.iter_unpack(table[: len(table) - len(table) % form.symbol.size]):
            name, kind, of = fields[0], fields[form.info] & 15, fields[form.of]
            if name and wanted(kind, of):
                text = texts[name : texts.index(b"\0", name)].decode("latin-1")
                yield Symbol(text, kind, of, fields[form.value], fields[form.size])


@contextmanager
def reading(path: Path) -> Iterator[ElfTables | None]:
    """The tables of the file at ``path``, as long as it is open; None if it is no ELF file of such a machine.

    :raises UsageError: it cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            form = _FORMS.get(head[: len(next(iter(_FORMS)))])
            yield ElfTables(file, head, form) if form else None
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
