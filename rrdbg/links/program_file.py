"""What an ELF file says of the code in it: its functions, and how their stacks are unwound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import UsageError
from rrdbg.links.elf_tables import NO_BITS, SYMBOL_TABLE, ElfTables, Section, reading
from rrdbg.model.program.call_frames import CallFrames
from rrdbg.model.program.code import Function, Functions
from rrdbg.model.program.coverage import ProgramExtent

_FUNCTION, _NO_KIND = 2, 0
_CODE = 4
_FRAMES = b".debug_frame\0"
_COMPRESSED = 1 << 11
_ARM = 40
_PAGE = 0x1000


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """The functions of a program, and its call frames if it tells of any."""

    functions: Functions
    frames: CallFrames | None
    extent: ProgramExtent


def read_program_file(path: Path) -> ProgramFile:
    """The functions of the ELF file at ``path``, for a little-endian machine.

    :raises UsageError: it cannot be read, is damaged, or is none of such a machine.
    """
    with reading(path) as elf:
        if elf is None:
            raise UsageError(f"{path} is no little-endian ELF file; stacks of such guests alone are read without GDB.")
        return _read(path, elf)


def _read(path: Path, elf: ElfTables) -> ProgramFile:
    names = elf.names()
    code = {number: section for number, section in enumerate(elf.sections) if section.flags & _CODE}
    extent = ProgramExtent(
        str(path),
        min((section.address for section in code.values()), default=0) & ~(_PAGE - 1),
        max((section.address + section.size for section in code.values()), default=0),
    )
    found: dict[int, Function] = {}
    frames = None
    # The lowest bit of a function's address says that it is in Thumb code.
    even = ~1 if elf.machine == _ARM else ~0
    for section in elf.sections:
        if section.kind == SYMBOL_TABLE:
            for function in _functions(elf, section, set(code), even):
                known = found.get(function.address)
                if known is None or known.size < function.size:
                    found[function.address] = function
        elif names[section.name :].startswith(_FRAMES) and section.kind != NO_BITS and not section.flags & _COMPRESSED:
            frames = CallFrames(elf.content(section), elf.word)
    return ProgramFile(Functions([found[address] for address in sorted(found)]), frames, extent)


def read_frames(path: Path) -> bytes:
    """The ``.debug_frame`` of the ELF file at ``path``; empty if it has none.

    :raises UsageError: it cannot be read, or is damaged.
    """
    with reading(path) as elf:
        sections = elf.sections if elf else ()
        names = elf.names() if elf else b""
        found = [section for section in sections if names[section.name :].startswith(_FRAMES)]
        return elf.content(found[0]) if elf and found else b""


def _functions(elf: ElfTables, table: Section, code: set[int], even: int) -> list[Function]:
    symbols = elf.symbols(table, lambda kind, of: of in code and kind in (_FUNCTION, _NO_KIND))
    # Assemblers leave their own labels, and Arm's mark what is code.
    return [
        Function(symbol.address & even, symbol.size, symbol.name)
        for symbol in symbols
        if not symbol.name.startswith((".", "$"))
    ]
