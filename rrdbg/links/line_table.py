"""The lines of source that a program's code was compiled from, read by pyelftools out of its DWARF."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rrdbg.errors import UsageError
from rrdbg.model.program.coverage import LineRange, SourceLine


def read_lines(path: Path) -> list[LineRange]:
    """All that the ELF file at ``path`` tells of lines, in the order of addresses.

    :raises UsageError: pyelftools is not installed, or the file is damaged, or tells of no lines.
    """
    try:
        from elftools.common.exceptions import DWARFError, ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise UsageError("Lines are read by pyelftools; install it: pip install 'rrdbg[cover]'.") from None
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            found = sorted(_ranges(elf.get_dwarf_info()), key=lambda each: each.start) if elf.has_dwarf_info() else []
    except (ELFError, DWARFError, ValueError, KeyError, IndexError) as error:
        raise UsageError(f"{path} has damaged debug information: {error}.") from None
    if not found:
        raise UsageError(f"{path} tells of no lines; compile it with -g, or do without --lcov.")
    return found


def _ranges(information: Any) -> Iterator[LineRange]:
    for unit in information.iter_CUs():
        program = information.line_program_for_CU(unit)
        if program is None:
            continue
        directory = _text(unit.get_top_DIE().attributes.get("DW_AT_comp_dir"))
        names: dict[int, str] = {}
        before = None
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if before and before.line and before.address < state.address:
                name = names.setdefault(before.file, _file_name(program.header, before.file, directory))
                yield LineRange(before.address, state.address, SourceLine(name, before.line))
            before = None if state.end_sequence else state


def _file_name(header: Mapping[str, Any], number: int, directory: str) -> str:
    """The path of a file by its ``number``; before DWARF 5 they count from 1, and no directory is the compiler's."""
    old = header["version"] < 5
    files = header["file_entry"]
    if not 0 <= number - old < len(files):
        return "?"
    entry = files[number - old]
    folders = [folder.decode(errors="replace") for folder in header["include_directory"]]
    folders = [directory, *folders] if old else folders
    folder = folders[entry.dir_index] if entry.dir_index < len(folders) else ""
    return posixpath.normpath(posixpath.join(directory, folder, entry.name.decode(errors="replace")))


def _text(attribute: Any) -> str:
    return attribute.value.decode(errors="replace") if attribute else ""
