"""Reading what is written after a command's name."""

from __future__ import annotations

import re

from rrdbg.commands.session import Session
from rrdbg.errors import UsageError
from rrdbg.model.timeline.clock import is_time
from rrdbg.model.timeline.position import Position, parse_count, parse_position

_RANGE = re.compile(r"(?P<what>.*?)(?:\s+from\s+(?P<start>\S+))?(?:\s+to\s+(?P<end>\S+))?", re.DOTALL)
_TERM = re.compile(r"\s*([+-]?)\s*(\$\w+|0[xX][0-9a-fA-F]+|\d+)")


async def read_address(session: Session, text: str) -> int:
    """An address: numbers and registers added and subtracted (``0x1000``, ``$rsp+8``); a leading ``*`` is allowed.

    With symbols, any expression of the guest's language.

    :raises UsageError: it is something else, or names no register.
    """
    expression = text.strip().removeprefix("*")
    total, place = 0, 0
    registers: dict[str, int] | None = None
    while match := _TERM.match(expression, place):
        sign, term = match.groups()
        if place and not sign:
            break
        if term.startswith("$"):
            registers = registers or await session.replay.registers()
            value = _register(registers, term[1:])
        else:
            value = int(term, 0) if term.lower().startswith("0x") else int(term)
        total += -value if sign == "-" else value
        place = match.end()
    if place == 0 or expression[place:].strip():
        if session.symbols and expression:
            return await session.symbols.number(expression)
        raise UsageError(f"'{text.strip()}' is not an address; write 0x1000, *0x1000 or $rsp+8.")
    return total & 0xFFFF_FFFF_FFFF_FFFF


async def read_range(session: Session, text: str) -> tuple[int, int]:
    """``ADDRESS:LENGTH``, the length in bytes.

    :raises UsageError: one of them is missing or wrong.
    """
    address, colon, length = text.rpartition(":")
    if not colon or not length.strip().isdecimal():
        raise UsageError(f"'{text}' is not a place to watch; write *ADDRESS:LENGTH, as in *0x1000:8.")
    return await read_address(session, address), int(length)


async def read_position(session: Session, text: str) -> Position:
    """A position in any of its forms, a time of the guest's clock included.

    :raises RrdbgError: it is none, or lies outside the recording.
    """
    replay = session.replay
    if is_time(text.strip()):
        return (await session.clock()).read(text.strip(), here=replay.position, end=replay.timeline.end)
    return parse_position(text, here=replay.position, end=replay.timeline.end, bookmarks=session.places)


async def read_stretch(session: Session, text: str) -> tuple[str, Position, Position]:
    """``WHAT [from POSITION] [to POSITION]``: what is looked for, and where (in all of time if nothing is said).

    :raises UsageError: a part is wrong, or the stretch is empty.
    :raises RrdbgError: a position is none.
    """
    match = _RANGE.fullmatch(text.strip())
    assert match is not None, "each part may be missing"
    if not match["what"]:
        raise UsageError("What to look for is missing.")
    return match["what"], *await read_ends(session, match["start"] or "", match["end"] or "")


async def read_bounds(session: Session, text: str, command: str) -> tuple[Position, Position]:
    """``[from POSITION] [to POSITION]`` and nothing else: where ``command`` is to look.

    :raises UsageError: there is something else, or the stretch is empty.
    :raises RrdbgError: a position is none.
    """
    what, start, end = await read_stretch(session, f"{command} {text}")
    if more := what.removeprefix(command).strip():
        raise UsageError(f"'{more}' is not understood; write {command} [from POSITION] [to POSITION].")
    return start, end


async def read_ends(session: Session, first: str, last: str) -> tuple[Position, Position]:
    """The two positions of a stretch; where one is not written, it is the start or the end of the recording.

    :raises UsageError: the stretch is empty.
    :raises RrdbgError: a position is none.
    """
    start = await read_position(session, first or "start")
    end = await read_position(session, last or "end")
    if not start < end:
        raise UsageError(f"The range from {start} to {end} is empty.")
    return start, end


def read_repeat(text: str) -> int:
    """A count of steps; 1 if nothing is written.

    :raises UsageError: it is no positive number.
    """
    count = parse_count(text) if text else 1
    if count < 1:
        raise UsageError("The number of steps must be at least 1.")
    return count


def nothing_more(text: str, command: str) -> None:
    """Check that nothing follows.

    :raises UsageError: something does.
    """
    if text:
        raise UsageError(f"'{command}' takes no argument, but '{text}' follows.")


def _register(registers: dict[str, int], name: str) -> int:
    aliases = {"pc": ("rip", "eip", "pc"), "sp": ("rsp", "esp", "sp"), "fp": ("rbp", "ebp", "fp", "x29")}
    for candidate in aliases.get(name, (name,)):
        if candidate in registers:
            return registers[candidate]
    raise UsageError(f"There is no register ${name}; 'info registers' lists them.")
