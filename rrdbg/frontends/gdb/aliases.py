"""Short names: ``seek`` for ``rrdbg seek``, where GDB has no command that answers to ``seek``."""

from __future__ import annotations

from collections.abc import Iterable

import gdb

_SCRIPT_WORDS = ("end", "else", "silent")
"""They mean something in a list of commands, though GDB has no help on them."""


class Aliases:
    """The short names that were made; GDB cannot take one back."""

    def __init__(self) -> None:
        self._made: set[str] = set()
        self._left_out: list[str] = []

    def make(self, names: Iterable[str]) -> None:
        """Make those of ``names`` that are free, and say which are not."""
        left_out = []
        for name in names:
            if " " in name or name in self._made:
                continue
            if name in _SCRIPT_WORDS or _is_taken(name):
                left_out.append(name)
            else:
                gdb.execute(f"alias -- {name} = rrdbg {name}")
                self._made.add(name)
        if left_out and left_out != self._left_out:
            gdb.write(f"GDB has commands of its own for these, which stay 'rrdbg ...': {', '.join(left_out)}.\n")
        self._left_out = left_out


def _is_taken(name: str) -> bool:
    """True if GDB does something when ``name`` is entered: as a whole name, or as an abbreviation."""
    try:
        gdb.execute(f"help {name}", to_string=True)
    except gdb.error as error:
        return "Undefined" not in str(error)
    return True
