"""Conditions that GDB evaluates and does not compile, written so that it does: its functions of strings and memory.

``$_streq``, ``$_memeq`` and ``$_strlen`` are functions in GDB itself, so that it must be asked at each hit; comparisons
of bytes are bytecode, which is judged where the guest stands. Registers of flags, such as ``$cr3``, are no numbers to
GDB's compiler; a cast makes them some. Only the standard library is above this, for GDB's own interpreter.
"""

from __future__ import annotations

import contextlib
import re

from rrdbg.errors import UsageError
from rrdbg.model.program.tracing import split_arguments

MOST_BYTES = 64
"""Bytes that a comparison may have, and a string at most whose length is asked for."""

_CALL = re.compile(r"\$_(streq|memeq|strlen)\s*\(")
_ANY_CALL = re.compile(r"\$_\w+(?=\s*\()")
_FLAGS = re.compile(r"\$(?:cr0|cr3|cr4|efer|eflags|mxcsr|cpsr|fpsr|fpcr|xpsr)\b(?!\s*[.\[])")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)", re.DOTALL)
_ESCAPES = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27}


def compilable(expression: str) -> str:
    """``expression`` with those functions and registers as GDB compiles them.

    :raises UsageError: a function's arguments are too many, too few or too long.
    """
    while match := _CALL.search(expression):
        end = _closing(expression, match.end())
        arguments = split_arguments(expression[match.end() : end])
        replaced = _TRANSLATED[match[1]](f"$_{match[1]}", arguments)
        expression = f"{expression[: match.start()]}({replaced}){expression[end + 1 :]}"
    return _FLAGS.sub(lambda found: f"((unsigned long){found[0]})", expression)


def for_gdb_alone(expression: str) -> tuple[str, ...]:
    """The functions in ``expression`` that only GDB can judge, such as ``$_regex``."""
    # GDB knows what to do with arguments that we do not take, or what to say.
    with contextlib.suppress(UsageError):
        expression = compilable(expression)
    return tuple(dict.fromkeys(_ANY_CALL.findall(expression)))


def price_of(condition: str) -> str:
    """What to say beforehand of a condition that only GDB can judge; empty for others."""
    names = for_gdb_alone(condition)
    if not names:
        return ""
    return f"Only GDB can judge {' and '.join(names)}: it stops at each hit, for about 0.3 s; Ctrl-C ends that."


def _streq(name: str, arguments: list[str]) -> str:
    one, other = _two(name, arguments)
    if not _STRING.fullmatch(other):
        one, other = other, one
    literal = _STRING.fullmatch(other)
    if literal is None or _STRING.fullmatch(one):
        raise UsageError(f"{name} is judged inside QEMU if one of both is a string in quotes, and the other is none.")
    wanted = [*_bytes(literal[1]), 0]
    if 0 in wanted[:-1] or len(wanted) > MOST_BYTES:
        raise UsageError(f"{name} compares strings of at most {MOST_BYTES - 1} bytes, without a zero in them.")
    return " && ".join(f"{_character(one, place)} == {value}" for place, value in enumerate(wanted))


def _memeq(name: str, arguments: list[str]) -> str:
    try:
        one, other, length = arguments
        count = int(length, 0)
    except ValueError:
        raise UsageError(f"{name} takes two addresses and a number of bytes: {name}(A, B, 8).") from None
    if not 1 <= count <= MOST_BYTES:
        raise UsageError(f"{name} compares 1 to {MOST_BYTES} bytes, not {count}.")
    return " && ".join(f"{_byte(one, place)} == {_byte(other, place)}" for place in range(count))


def _strlen(name: str, arguments: list[str]) -> str:
    """Its length; of a longer one there is none, as a division by what is zero then says."""
    if len(arguments) != 1:
        raise UsageError(f"{name} takes one string.")
    text = arguments[0]
    found = f"{MOST_BYTES} / ({_character(text, MOST_BYTES)} == 0)"
    for place in reversed(range(MOST_BYTES)):
        found = f"({_character(text, place)} == 0 ? {place} : {found})"
    return found


_TRANSLATED = {"streq": _streq, "memeq": _memeq, "strlen": _strlen}


def _two(name: str, arguments: list[str]) -> tuple[str, str]:
    if len(arguments) != 2:
        raise UsageError(f'{name} takes two strings: {name}(name, "dentry").')
    return arguments[0], arguments[1]


def _character(text: str, place: int) -> str:
    """One of a pointer's or an array's; GDB compiles no cast of an array."""
    return f"(unsigned char)({text})[{place}]"


def _byte(address: str, place: int) -> str:
    return f"((unsigned char *)({address}))[{place}]"


def _closing(text: str, start: int) -> int:
    """Where the bracket ends that was opened just before ``start``."""
    depth, quote, place = 1, "", start
    while place < len(text):
        char = text[place]
        if quote and char == "\\":
            place += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char == "(") - (char == ")")
            if not depth:
                return place
        place += 1
    raise UsageError(f"A bracket is not closed in '{text}'.")


def _bytes(text: str) -> bytes:
    """The bytes of a string as C writes it."""
    found, place = b"", 0
    for match in _ESCAPE.finditer(text):
        found += text[place : match.start()].encode()
        escape = match[1]
        if escape[0] in "01234567":
            found += bytes([int(escape, 8) & 0xFF])
        elif escape[0] == "x" and len(escape) > 1:
            found += bytes([int(escape[1:], 16)])
        else:
            found += bytes([_ESCAPES[escape]]) if escape in _ESCAPES else escape.encode()
        place = match.end()
    return found + text[place:].encode()
