"""What an ELF file says of the code in it: its functions, and how their stacks are unwound."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rrdbg.errors import UsageError
from rrdbg.model.program.call_frames import CallFrames
from rrdbg.model.program.code import Function, Functions
from rrdbg.model.program.coverage import ProgramExtent

_IDENT = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<QQQIHHHHHH")
_HEADER_AT = 24
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB, _FUNCTION, _NO_KIND, _NOBITS = 2, 2, 0, 8
_CODE = 4
_FRAMES = b".debug_frame\0"
_COMPRESSED = 1 << 11
_PAGE = 0x1000
_MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """The functions of a program, and its call frames if it tells of any."""

    functions: Functions
    frames: CallFrames | None
    extent: ProgramExtent


def read_program_file(path: Path) -> ProgramFile:
    """The functions of the ELF file at ``path``, for a little-endian 64-bit machine.

    :raises UsageError: it cannot be read, is damaged, or is none of such a machine.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except (struct.error, IndexError, ValueError):
        raise UsageError(f"{path} is a damaged ELF file; its tables lead out of it.") from None


def _read(path: Path, file: BinaryIO) -> ProgramFile:
    head = _part(file, 0, _HEADER_AT + _HEADER.size)
    if not head.startswith(_IDENT):
        raise UsageError(
            f"{path} is no little-endian 64-bit ELF file; stacks of such guests alone are read without GDB."
        )
    header = _HEADER.unpack_from(head, _HEADER_AT)
    table = _part(file, header[2], header[7] * header[8])
    sections = [_SECTION.unpack_from(table, number * header[7]) for number in range(header[8])]
    names = _part(file, *sections[header[9]][4:6])
    code = {number for number, section in enumerate(sections) if section[2] & _CODE}
    extent = ProgramExtent(
        str(path),
        min((sections[number][3] for number in code), default=0) & ~(_PAGE - 1),
        max((sections[number][3] + sections[number][5] for number in code), default=0),
    )
    found: dict[int, Function] = {}
    frames = None
    for name, kind, flags, _, place, size, link, _, _, _ in sections:
        if kind == _SYMTAB:
            texts = sections[link]
            for function in _functions(_part(file, place, size), _part(file, texts[4], texts[5]), code):
                known = found.get(function.address)
                if known is None or known.size < function.size:
                    found[function.address] = function
        elif names[name:].startswith(_FRAMES) and kind != _NOBITS and not flags & _COMPRESSED:
            frames = CallFrames(_part(file, place, size))
    return ProgramFile(Functions([found[address] for address in sorted(found)]), frames, extent)


def _functions(table: bytes, texts: bytes, code: set[int]) -> list[Function]:
    found = []
    for name, info, _, section, value, size in _SYMBOL.iter_unpack(table[: len(table) - len(table) % _SYMBOL.size]):
        if section in code and info & 15 in (_FUNCTION, _NO_KIND) and name:
            text = texts[name : texts.index(b"\0", name)].decode("latin-1")
            # Assemblers leave their own labels, and Arm's mark what is code.
            if not text.startswith((".", "$")):
                found.append(Function(value, size, text))
    return found


def _part(file: BinaryIO, place: int, size: int) -> bytes:
    if size > _MOST_BYTES:
        raise ValueError(size)
    file.seek(place)
    data = file.read(size)
    if len(data) < size:
        raise ValueError(place)
    return data
