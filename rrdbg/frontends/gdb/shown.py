"""Answers as GDB's user reads them: the server knows addresses and bytes, GDB the names and types."""

from __future__ import annotations

import re

import gdb

from rrdbg.frontends.gdb.channel import Json
from rrdbg.frontends.gdb.declared import Declared

_NUMBER = re.compile(r"0x[0-9a-f]+")
_SYMBOL = re.compile(r"(\S+)(?: \+ (\d+))? in section")
_RANGE = re.compile(r"(.*?)(?:\s+from\s+\S+)?(?:\s+to\s+\S+)?\s*", re.DOTALL)
_PLACES = ("caller", "next", "where")
_PLAIN = (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM)


class Shown:
    """How the answers to ``command`` with ``arguments`` are shown.

    GDB must not ask the server for memory meanwhile, which is busy with the command: so values are shown of types that
    need none, and pointers stay numbers.
    """

    def __init__(self, command: Declared, arguments: str) -> None:
        self._subject = arguments
        self._function = command.takes[:1] == ("function",)
        self._type: gdb.Type | None = None
        if command.takes[:1] == ("expression",):
            self._type = _plain_type(arguments)

    def text(self, result: Json) -> str:
        """The text of one answer."""
        text = str(result["text"])
        fields = result.get("fields", {}) if result.get("kind") == "found" else {}
        for name in _PLACES:
            if name in fields and (symbol := _symbol(fields[name])):
                text = text.replace(fields[name], symbol)
        values = [fields.get("old"), fields.get("new"), fields.get("value")]
        if result.get("kind") == "changed":
            values = [result["before"], result["after"]]
        for value in values:
            if value and self._type and (shown := _typed(self._type, value)):
                text = text.replace(value, shown, 1)
        if self._function:
            match = _RANGE.fullmatch(self._subject)
            assert match is not None, "every part of it may be empty"
            text = re.sub(r"\*0x[0-9a-f]+(?=\(| was called)", lambda _: match[1], text, count=1)
        return text


def _plain_type(arguments: str) -> gdb.Type | None:
    """The type of what is asked about, if its values can be shown without asking for memory."""
    match = _RANGE.fullmatch(arguments)
    assert match is not None, "every part of it may be empty"
    try:
        found = gdb.parse_and_eval(match[1]).type
    except gdb.error:
        return None  # *ADDRESS:LENGTH, and what only the server understands
    return found if found.strip_typedefs().code in _PLAIN else None


def _typed(kind: gdb.Type, value: str) -> str | None:
    """``value``, the hexadecimal number that the server shows, as GDB prints it."""
    if not _NUMBER.fullmatch(value) or len(value) != 2 + 2 * kind.sizeof:
        return None
    return str(gdb.Value(bytes.fromhex(value[2:])[::-1], kind).format_string())


def _symbol(address: str) -> str | None:
    """The function at an address, and how far into it; None where there is none."""
    if not _NUMBER.fullmatch(address):
        return None
    match = _SYMBOL.match(gdb.execute(f"info symbol {address}", to_string=True))
    if match is None:
        return None
    return f"{match[1]}+{match[2]}" if match[2] else match[1]
