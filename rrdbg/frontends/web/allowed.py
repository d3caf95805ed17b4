"""Which lines the page may have run: those that look at the recording and travel in it.

Whoever has the address of the page can have them run, and that address may be read over a shoulder. So no line reaches
the host: no program of its, no file, and no end of the session.
"""

from __future__ import annotations

from rrdbg.errors import UsageError
from rrdbg.frontends.repl.routing import Canonical, Theirs, dispatch
from rrdbg.frontends.shared.checked import checked

_GDBS = frozenset({
    "step", "next", "stepi", "nexti", "finish", "until", "advance", "continue", "reverse-step", "reverse-next",
    "reverse-stepi", "reverse-nexti", "reverse-finish", "reverse-continue", "up", "down", "frame", "break", "tbreak",
    "hbreak", "watch", "rwatch", "awatch", "delete", "enable", "disable", "condition", "ignore", "info", "print", "p",
    "x", "backtrace", "where", "ptype", "whatis", "list", "disassemble", "help", "bt", "b", "d", "l", "i", "h",
})  # fmt: skip
"""Commands of GDB's, by their whole names and the short ones that it gives to one of several."""

_NOT_OURS = frozenset({"quit", "what-if", "symbols", "web", "compare"})
"""They end the session, leave the recording, or read files of the host, which other recordings are, too."""


def allowed(line: str, canonical: Canonical | None) -> str:
    """``line`` as it may be run for a page; ``canonical`` is None where there is no GDB.

    :raises UsageError: it may not, or nobody can run it.
    """
    line = checked(line, "command")
    who = dispatch(line, canonical, structured=True)
    name = who.name if isinstance(who, Theirs) else who.command.name
    refused = name not in _GDBS if isinstance(who, Theirs) else name in _NOT_OURS
    if refused:
        raise UsageError(f"'{name}' cannot be used from the page; the shell has it: rrdbg replay.")
    return line
