"""Where programs, libraries and the kernel's modules lie: what a debugger must know to have their symbols there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rrdbg.model.linux.kallsyms import KernelSymbol


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """What an ELF file tells: where it is entered, as it was linked, and whether it is a module, to be linked yet.

    ``note`` is the section that has its build id, by the address it was linked to; None if it has none.
    """

    path: str
    entry: int
    is_module: bool
    note: tuple[int, bytes] | None

    def line_to_move(self, offset: int) -> str:
        """GDB's command that reads its symbols ``offset`` further on than they were linked to."""
        return f'with confirm off -- add-symbol-file "{self.path}" -o {offset:#x}'


@dataclass(frozen=True, slots=True)
class MappedProgram:
    """A program or library that a process has mapped ``offset`` further on than it was linked to.

    ``name`` is its path in the guest. ``entry`` is where the process' own program is entered, 0 of others.
    """

    name: str
    offset: int
    entry: int = 0


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the kernel's that is loaded: where its text begins, its size in bytes, and where its sections are.

    ``symbols`` are those of its symbols that the kernel keeps.
    """

    name: str
    base: int
    size: int
    sections: Mapping[str, int]
    symbols: tuple[KernelSymbol, ...] = field(default=(), repr=False)

    def line_to_load(self, path: str) -> str:
        """GDB's command that reads the symbols of the module's file ``path`` to where it lies."""
        others = [
            f" -s {name} {address:#x}"
            for name, address in self.sections.items()
            if name != _TEXT and not name.startswith(_NOT_LOADED)
        ]
        return f'with confirm off -- add-symbol-file "{path}" {self.sections.get(_TEXT, self.base):#x}{"".join(others)}'


_TEXT = ".text"
_NOT_LOADED = ("__", ".init", ".note", ".altinstr", ".orc", ".return_sites", ".retpoline")
"""Sections that hold no symbols of use, or are gone when the module has begun."""
