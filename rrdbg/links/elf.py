"""What an ELF file of the user's says about itself: its build id, and the addresses of its symbols."""

from __future__ import annotations

from pathlib import Path

from rrdbg.errors import UsageError
from rrdbg.links.elf_tables import NOTE, SYMBOL_TABLE, ElfTables, reading
from rrdbg.model.linux.kernel import KernelFile, build_id_in
from rrdbg.model.linux.mapped import ProgramFile

_WORD = 8
_RELOCATABLE = 1
_PERCPU = b".data..percpu\0"
_KERNEL_HALF = 1 << 63
_KINDS = (0, 1, 2)
"""Symbols without a kind, data and functions."""


def read_kernel_file(path: Path) -> KernelFile:
    """What the ELF file at ``path`` tells; nothing of one that is not for a little-endian 64-bit machine.

    :raises UsageError: it cannot be read, or is damaged.
    """
    with reading(path) as elf:
        return _kernel(path, elf) if elf and elf.word == _WORD else KernelFile(str(path), "", {})


def read_program(path: Path) -> ProgramFile:
    """What the ELF file of a user's program, a library or a kernel's module tells.

    :raises UsageError: it cannot be read, or is none for a little-endian 64-bit machine.
    """
    with reading(path) as elf:
        if elf is None or elf.word != _WORD:
            raise UsageError(f"{path} is no ELF file of a 64-bit little-endian machine.")
        note: tuple[int, bytes] | None = None
        for section in elf.sections:
            if section.kind == NOTE and build_id_in(content := elf.content(section)):
                note = section.address, content
        return ProgramFile(str(path), elf.entry, elf.kind == _RELOCATABLE, note)


def _kernel(path: Path, elf: ElfTables) -> KernelFile:
    build_id, addresses, percpu = "", dict[str, int](), None
    names = elf.names()
    for section in elf.sections:
        if section.kind == NOTE and not build_id:
            build_id = build_id_in(elf.content(section))
        elif section.address < _KERNEL_HALF and names[section.name :].startswith(_PERCPU):
            percpu = section.address
        elif section.kind == SYMBOL_TABLE:
            symbols = elf.symbols(section, lambda kind, of: bool(of) and kind in _KINDS)
            addresses = {symbol.name: symbol.address for symbol in symbols}
    return KernelFile(str(path), build_id, addresses, percpu)
