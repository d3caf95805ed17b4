"""What a client writes, made sure to be no more than it is taken for.

A client is a program that reads what guests print, and may do what a guest's text tells it. Expressions and locations
go to GDB, which has a function that runs programs of the host, and takes a new line for a new command.
"""

from __future__ import annotations

import re

from rrdbg.commands.arguments import read_position
from rrdbg.errors import UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.model.timeline.clock import is_time
from rrdbg.model.timeline.position import Position, parse_position

_LONGEST = 1000
_FUNCTION = re.compile(r"\$(_\w+)")
_HARMLESS = frozenset(
    {"_streq", "_strlen", "_memeq", "_regex", "_as_string", "_isvoid", "_any_caller_is", "_any_caller_matches",
     "_caller_is", "_caller_matches", "_cimag", "_creal"}
)  # fmt: skip
"""Functions of GDB's that only compute."""

_DISTANCE = re.compile(r"(?P<base>.+?)(?<![\d.][eE])\s*(?P<distance>[+-]\s*\d[\d,_.]*(?:e\d+)?)")
_CONSOLE = "console:"


def checked(text: str, what: str = "expression") -> str:
    """``text`` as an expression, location or format that GDB may be given.

    :raises UsageError: it is empty or too long, has several lines, or calls a function that does more than compute.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        raise UsageError(f"The {what} must have 1 to {_LONGEST:,} characters, not {len(text):,}.")
    if not text.isprintable():
        raise UsageError(f"The {what} {text!r} has characters that cannot be printed; write it on one line.")
    for match in _FUNCTION.finditer(text):
        if match[1] not in _HARMLESS:
            raise UsageError(f"${match[1]} cannot be used here: of GDB's own functions only those are that compute.")
    return text


async def position_of(replay: AsyncReplay, text: str) -> Position:
    """The position that ``text`` means: as commands take it, ``console:TEXT``, and ``POSITION-100``, which nothing
    that was asked before has a part in.

    :raises UsageError: it is none.
    :raises RrdbgError: it lies outside of the recording.
    """
    text = checked(text, "position")
    if text.startswith(_CONSOLE):
        wanted = text.removeprefix(_CONSOLE)
        found = (await replay.session.console()).find(wanted, Position(-1))
        if found is None:
            raise UsageError(f"The guest never prints {wanted!r}; 'console' shows what it prints.")
        return found
    if text[0] in "+-":
        raise UsageError(f"'{text}' is a distance, and there is no cursor here; write POSITION{text}, as in end-1000.")
    match = None if is_time(text) else _DISTANCE.fullmatch(text)
    if match is None:
        return await _read(replay, text)
    base = await position_of(replay, match["base"])
    return parse_position(match["distance"].replace(" ", ""), here=base, end=replay.end, bookmarks={})


async def _read(replay: AsyncReplay, text: str) -> Position:
    if text.startswith("@"):
        replay.cursor.catch_up()
        # Numbers of what an earlier query has found mean nothing here.
        return parse_position(text, here=replay.position, end=replay.end, bookmarks=replay.cursor.timeline.places)
    return await read_position(replay.session, text)
