"""Names of which GDB knows the address alone: symbols of a program without debug information.

GDB prints ``*(long *) &jiffies`` right, and compiles it wrong: its bytecode reads memory once too often for a symbol
that it takes for code, and it refuses one that it takes for data ("has unknown type; cast it to its declared type"),
on every GDB that was tried (13.1, 16.3, 18.1). So the address is written in the symbol's place before it compiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NO_DEBUG = re.compile(r"<(?P<kind>text|data|bss|abs)[^>]*, no debug info>")
_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<and>&\s*)?(?<![\w$.])(?<!->)(?P<name>[A-Za-z_]\w*)"""
)


@dataclass(frozen=True, slots=True)
class Untyped:
    """A symbol at ``address`` without a type; GDB takes it for ``code``, or for data."""

    address: int
    code: bool


def is_untyped(shown_type: str) -> re.Match[str] | None:
    """Whether GDB shows this as the type of a symbol that has none; group ``kind`` tells what it takes it for."""
    return _NO_DEBUG.search(shown_type)


def unknown_type(expression: str) -> str:
    """What to tell of such a symbol that is to be watched: nobody knows its length."""
    return f"'{expression}' has unknown type; cast it to its declared type, as in *(long *) &{expression}."


def names_in(expression: str) -> Iterator[str]:
    """The names in ``expression`` that may be symbols, each once, in order."""
    yield from dict.fromkeys(match["name"] for match in _TOKEN.finditer(expression) if match["name"])


def with_types(expression: str, types: Mapping[str, str]) -> str:
    """``expression`` with a value of the same type for each local variable whose type is known; it lies nowhere."""

    def replaced(match: re.Match[str]) -> str:
        kind = types.get(match["name"] or "")
        return match[0] if kind is None else f"{match['and'] or ''}(*({kind} *)0)"

    return _TOKEN.sub(replaced, expression)


def with_addresses(expression: str, known: Mapping[str, Untyped]) -> str:
    """``expression`` with addresses in the place of the symbols that are ``known`` to be untyped.

    ``(long) NAME`` of data is its value, and compiled right; of code it is the address, as in C.
    """

    def replaced(match: re.Match[str]) -> str:
        symbol = known.get(match["name"] or "")
        if symbol is None or not (match["and"] or symbol.code):
            return match[0]
        return f"((unsigned char *) {symbol.address:#x})"

    return _TOKEN.sub(replaced, expression)
