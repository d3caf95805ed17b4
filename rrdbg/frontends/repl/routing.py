"""Who runs a line that a user has typed: a command of ours, or GDB.

Ours are called by their whole names and short forms. What GDB knows, also by a beginning, is GDB's, so that everybody's
fingers find what they are used to. Beginnings that GDB does not know may be ours again (``sna`` for ``snapshot``).
Commands that both have, such as ``break``, are GDB's, and ours where there is no GDB, or where the line ends with a
word that GDB does not have (``--physical``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.registry import Category, Command, Takes
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.model.program.scope import has_scope

_CONNECTED = "GDB stays connected to this recording as long as the shell runs"
_ELSEWHERE = "'rrdbg gdb RECORDING' starts a GDB that has it"
_REFUSED = {
    "target": _CONNECTED, "attach": _CONNECTED, "detach": _CONNECTED, "disconnect": _CONNECTED, "kill": _CONNECTED,
    "core-file": _CONNECTED, "load": _CONNECTED, "inferior": _CONNECTED, "add-inferior": _CONNECTED,
    "clone-inferior": _CONNECTED, "remove-inferiors": _CONNECTED,
    "record": "the guest is a recording already, and goes backwards",
    "tui": _ELSEWHERE, "layout": _ELSEWHERE, "focus": _ELSEWHERE, "winheight": _ELSEWHERE, "new-ui": _ELSEWHERE,
    "python-interactive": "write 'python', the lines, and 'end'", "pi": "write 'python', the lines, and 'end'",
    "guile-repl": _ELSEWHERE, "gr": _ELSEWHERE,
    "interpreter-exec": "rrdbg itself speaks to GDB by it",
    "edit": "write !$EDITOR FILE", "make": "write !make",
}  # fmt: skip
"""GDB's commands that would take the recording or the terminal away from the shell, and what to say of each."""

_SHORT = {"i": "info", "k": "kill", "l": "list", "p": "print", "h": "help", "py": "python", "bt": "backtrace"}
"""Beginnings of several names that GDB gives to one of them, as far as that matters here."""

_REPEATED_BARE = ("list", "x")
_NEVER_REPEATED = (
    "commands", "define", "delete", "document", "file", "help", "python", "run", "set", "source", "symbol-file",
    "add-symbol-file", "apropos", "alias", "condition", "ignore", "disable", "enable", "directory",
)  # fmt: skip

_WITHOUT_EXPRESSIONS = ("info", "backtrace", "where", "disassemble", "show", "help", "list", "apropos")

_LITERAL = frozenset((Takes.EXPRESSION, Takes.CONDITION, Takes.LOCATION, Takes.FUNCTION, Takes.TEXT))
"""Arguments in which ``|`` and ``>`` stand for themselves."""

_COMMAND = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(?:/\S+)?(?:\s+(?P<subject>[A-Za-z0-9_.-]+))?")
"""A command's name, which a format may follow, or an expression without a blank: ``x/4xg``, ``p*task``."""

COUNTED_STEPS = re.compile(r"(?P<verb>si|stepi|rsi|reverse-stepi)\s+(?P<count>\d[\d,_]*(?:\.\d+)?(?:e\d+)?)")
"""Many steps at once, their number written as we take it: for GDB, ``2,000`` is an expression whose value is 0."""

Canonical = Callable[[str], str | None]
"""The whole name of GDB's command that a word is a beginning of; None if there is none."""


@dataclass(frozen=True, slots=True)
class Ours:
    """A command of the registry and its arguments."""

    command: Command
    text: str


@dataclass(frozen=True, slots=True)
class Theirs:
    """A line for GDB; ``name`` is its command's whole name."""

    name: str
    line: str


def dispatch(line: str, canonical: Canonical | None, *, structured: bool = False) -> Ours | Theirs:
    """Decide who runs ``line``; ``canonical`` is None where there is no GDB.

    ``structured`` tells that values are wanted rather than text: then what only looks at the guest is ours.

    :raises UsageError: nobody can.
    """
    line = line.strip()
    if canonical is None:
        return Ours(*COMMANDS.match(line))
    word, _, rest = line.partition(" ")
    if word == "monitor":
        return Ours(*COMMANDS.match(COMMANDS.monitored(rest)))
    found = COMMANDS.exact(line)
    scoped = bool(found) and has_scope(line)
    if found and (not found[0].in_gdb or scoped or (structured and found[0].category is Category.DATA)):
        if found[0].name == "help" and _is_gdbs(found[1], canonical):
            return Theirs("help", line)
        return Ours(*found)
    if found:
        return Theirs(found[0].name.split()[0], line)
    name = _gdb_name(line, canonical)
    if name is None:
        try:
            command, text = COMMANDS.match(line)
        except UsageError:
            return Theirs(word, line)
        return Theirs(word, line) if command.in_gdb else Ours(command, text)
    if name in _REFUSED:
        raise UsageError(f"'{name}' cannot be used here: {_REFUSED[name]}.")
    return Theirs(name, line)


def repeated(line: str, canonical: Canonical | None) -> str:
    """What an empty line after ``line`` means: often the same again."""
    try:
        who = dispatch(line, canonical)
    except RrdbgError:
        return ""
    if isinstance(who, Ours):
        return line if who.command.repeats else ""
    if who.name in _NEVER_REPEATED:
        return ""
    return who.name if who.name in _REPEATED_BARE else line


def _is_gdbs(text: str, canonical: Canonical) -> bool:
    """True if ``help`` for ``text`` is GDB's to give."""
    if not text:
        return False
    try:
        return isinstance(dispatch(text, canonical), Theirs)
    except RrdbgError:
        return True


def _gdb_name(line: str, canonical: Canonical) -> str | None:
    """The whole name of GDB's command; a subject of ``info`` that GDB does not have is none."""
    match = _COMMAND.match(line)
    if match is None:
        return None
    name = _SHORT.get(match["name"]) or canonical(match["name"])
    if name == "info" and match["subject"] and canonical(f"info {match['subject']}") is None:
        return None
    return name


def takes_expression(line: str, canonical: Canonical | None) -> bool:
    """True if a C expression, or a text, may stand in ``line``."""
    try:
        who = dispatch(line, canonical)
    except RrdbgError:
        return False
    if isinstance(who, Ours):
        return not _LITERAL.isdisjoint(who.command.takes)
    return who.name not in _WITHOUT_EXPRESSIONS
