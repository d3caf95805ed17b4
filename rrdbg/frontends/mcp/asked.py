"""Positions as a client writes them, who has no cursor of his own."""

from __future__ import annotations

import re

from rrdbg.commands.arguments import read_position
from rrdbg.errors import UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.shared.checked import checked
from rrdbg.model.timeline.clock import is_time
from rrdbg.model.timeline.position import Position, parse_position

_DISTANCE = re.compile(r"(?P<base>.+?)(?<![\d.][eE])\s*(?P<distance>[+-]\s*\d[\d,_.]*(?:e\d+)?)")
_CONSOLE = "console:"


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
