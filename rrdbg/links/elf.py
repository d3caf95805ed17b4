"""What an ELF file of the user's says about itself: its build id, and the addresses of its symbols.

A kernel with all its debugging information has a gigabyte; only the tables that are needed are read.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from rrdbg.errors import UsageError
from rrdbg.model.linux.kernel import KernelFile, build_id_in
from rrdbg.model.linux.mapped import ProgramFile

_IDENT = b"\x7fELF\x02\x01"
_RELOCATABLE = 1
_HEADER = struct.Struct("<QQQIHHHHHH")
_HEADER_AT = 24
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB, _NOTE = 2, 7
_PERCPU = b".data..percpu\0"
_KERNEL_HALF = 1 << 63
_MOST_BYTES = 256 << 20
_KINDS = (0, 1, 2)
"""Symbols without a kind, data and functions."""


def read_kernel_file(path: Path) -> KernelFile:
    """What the ELF file at ``path`` tells; nothing of one that is not for a little-endian 64-bit machine.

    :raises UsageError: it cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except (struct.error, IndexError, ValueError):
        raise UsageError(f"{path} is a damaged ELF file; its tables lead out of it.") from None


def read_program(path: Path) -> ProgramFile:
    """What the ELF file of a user's program, a library or a kernel's module tells.

    :raises UsageError: it cannot be read, or is none for a little-endian 64-bit machine.
    """
    try:
        with path.open("rb") as file:
            head = _part(file, 0, _HEADER_AT + _HEADER.size)
            if not head.startswith(_IDENT):
                raise UsageError(f"{path} is no ELF file of a 64-bit little-endian machine.")
            kind = int.from_bytes(head[16:18], "little")
            entry, _, sections_at, *_ = _HEADER.unpack_from(head, _HEADER_AT)
            size, count = _HEADER.unpack_from(head, _HEADER_AT)[7:9]
            table = _part(file, sections_at, size * count)
            note: tuple[int, bytes] | None = None
            for number in range(count):
                _, section, _, address, place, length, *_ = _SECTION.unpack_from(table, number * size)
                if section == _NOTE and build_id_in(content := _part(file, place, length)):
                    note = address, content
            return ProgramFile(str(path), entry, kind == _RELOCATABLE, note)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except (struct.error, IndexError, ValueError):
        raise UsageError(f"{path} is a damaged ELF file; its tables lead out of it.") from None


def _read(path: Path, file: BinaryIO) -> KernelFile:
    head = _part(file, 0, _HEADER_AT + _HEADER.size)
    if not head.startswith(_IDENT):
        return KernelFile(str(path), "", {})
    sections_at, entry, count = (_HEADER.unpack_from(head, _HEADER_AT)[number] for number in (2, 7, 8))
    table = _part(file, sections_at, entry * count)
    sections = [_SECTION.unpack_from(table, number * entry) for number in range(count)]
    build_id, addresses, percpu = "", dict[str, int](), None
    names = _part(file, *sections[_HEADER.unpack_from(head, _HEADER_AT)[9]][4:6])
    for name, kind, _, address, place, size, link, _, _, _ in sections:
        if kind == _NOTE and not build_id:
            build_id = build_id_in(_part(file, place, size))
        elif address < _KERNEL_HALF and names[name:].startswith(_PERCPU):
            percpu = address
        elif kind == _SYMTAB:
            texts = sections[link]
            addresses = _symbols(_part(file, place, size), _part(file, texts[4], texts[5]))
    return KernelFile(str(path), build_id, addresses, percpu)


def _symbols(table: bytes, texts: bytes) -> dict[str, int]:
    """The addresses of those that have one and stand for something, by name."""
    found = {}
    for name, info, _, section, value, _ in _SYMBOL.iter_unpack(table[: len(table) - len(table) % _SYMBOL.size]):
        if section and info & 15 in _KINDS and name:
            found[texts[name : texts.index(b"\0", name)].decode("latin-1")] = value
    return found


def _part(file: BinaryIO, place: int, size: int) -> bytes:
    if size > _MOST_BYTES:
        raise ValueError(size)
    file.seek(place)
    data = file.read(size)
    if len(data) < size:
        raise ValueError(place)
    return data
