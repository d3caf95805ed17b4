"""A pointer to characters and what it points to, shown as GDB shows it: ``0x10079a "run, "``.

This module has only the standard library above it, so that GDB's own interpreter can use it, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 1000
"""Bytes of a string that are read at most."""

_SHOWN = 200
"""Characters that are shown at most, as GDB's ``print elements`` is from the start."""

_ESCAPES = {
    "\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GuestString:
    """The bytes at ``address`` up to a zero; not ``whole`` where there are more than :data:`LONGEST`.

    ``problem`` says why they cannot be read.
    """

    address: int
    content: bytes = b""
    whole: bool = True
    problem: str = ""

    @property
    def text(self) -> str:
        """The characters alone, or why they cannot be read."""
        if self.problem:
            return f"<{self.problem}>"
        return self.content.decode(errors="replace") + ("" if self.whole else "...")

    def __str__(self) -> str:
        """The pointer and the characters between quotes; a null pointer alone."""
        if self.problem:
            return f"{self.address:#x} <error: {self.problem}>" if self.address else "0x0"
        characters = self.content.decode(errors="surrogateescape")
        more = "" if self.whole and len(characters) <= _SHOWN else "..."
        return f'{self.address:#x} "{"".join(_escaped(characters[:_SHOWN]))}"{more}'


def _escaped(characters: str) -> Iterator[str]:
    """Each of them as C writes it: what cannot be printed in octal, each byte by itself."""
    for character in characters:
        if character in _ESCAPES:
            yield _ESCAPES[character]
        elif character.isprintable():
            yield character
        else:
            yield from (f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))
