"""A place on the timeline, and the ways a user writes one.

A :class:`Position` is ``(icount, phase)``. *icount* is the number of instructions executed since the
start of the recording. It is not unique: before and after the delivery of an interrupt or exception the
count is the same. *phase* numbers the stops that a single-stepper sees at one icount: 0 is the first,
1 is the next one after a delivery, and so on. Positions are totally ordered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rrdbg.errors import OutOfRange, UsageError

_NUMBER = re.compile(r"(?P<hex>0[xX][0-9a-fA-F]+)|(?P<mantissa>\d[\d,_]*(?:\.\d+)?)(?:[eE]\+?(?P<exponent>\d{1,2}))?")


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """``icount`` instructions executed, ``phase`` deliveries further on at that same count."""

    icount: int
    phase: int = 0

    def __str__(self) -> str:
        return f"{self.icount:,}:{self.phase}" if self.phase else f"{self.icount:,}"

    def percent(self, end: Position) -> float:
        """How far along a timeline that ends at ``end`` this is, 0.0 to 100.0."""
        return 100.0 * self.icount / end.icount if end.icount else 0.0


START = Position(0)


def parse_count(text: str) -> int:
    """Return the instruction count that ``text`` writes: ``1,234``, ``0x10``, ``2.5e6``, ``1_000``.

    :raises UsageError: it is no such number, or not a whole one.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is not a number of instructions; write 1234, 1,234, 0x4d2 or 1.2e6.")
    if match["hex"]:
        return int(match["hex"], 16)
    whole, _, fraction = match["mantissa"].replace(",", "").replace("_", "").partition(".")
    exponent = int(match["exponent"] or 0)
    if len(fraction.rstrip("0")) > exponent:
        raise UsageError(f"'{text}' is not a whole number of instructions.")
    return int(whole + fraction.ljust(exponent, "0")[:exponent])


def parse_position(
    text: str,
    *,
    here: Position,
    end: Position,
    bookmarks: Mapping[str, Position] | None = None,
) -> Position:
    """Return the position that ``text`` writes.

    Forms: a count (``1,234``, ``0x10``, ``1e6``), a count with a phase (``1,234:1``), ``50%``, relative to
    ``here`` (``+1e6``, ``-3``), ``start``, ``end``, ``@bookmark``.

    >>> str(parse_position("50%", here=START, end=Position(2_000)))
    '1,000'

    :raises UsageError: the text is none of these, or names no bookmark.
    :raises OutOfRange: it lies before the start or after ``end``.
    """
    wanted = text.strip()
    position = _read(wanted, here, end, bookmarks or {})
    if position > end or position.icount < 0:
        raise OutOfRange(
            f"Position {wanted} is outside the recording, which runs from 0 to {end}; "
            "give a position in that range, or 'start' or 'end'."
        )
    return position


def _read(text: str, here: Position, end: Position, bookmarks: Mapping[str, Position]) -> Position:
    if not text:
        raise UsageError("A position is missing; write one such as 1,234, 50%, +1e6, start, end or @bookmark.")
    if text == "start":
        return START
    if text == "end":
        return end
    if text.startswith("@"):
        try:
            return bookmarks[text[1:]]
        except KeyError:
            known = ", ".join(sorted(bookmarks)) or "none yet"
            raise UsageError(f"There is no bookmark '{text[1:]}' (bookmarks: {known}).") from None
    if text.endswith("%"):
        return _percent(text, end)
    if text[0] in "+-":
        offset = parse_count(text[1:])
        return Position(here.icount + (offset if text[0] == "+" else -offset))
    count, colon, phase = text.partition(":")
    if colon and not phase.isdecimal():
        raise UsageError(f"'{text}' is not a position: after the colon stands a small number, as in 1,234:1.")
    return Position(parse_count(count), int(phase) if colon else 0)


def _percent(text: str, end: Position) -> Position:
    try:
        share = float(text[:-1])
    except ValueError:
        raise UsageError(f"'{text}' is not a percentage; write 50% or 99.9%.") from None
    if not 0 <= share <= 100:
        raise OutOfRange(f"{text} is outside the recording: a percentage goes from 0% to 100%.")
    return end if share == 100 else Position(int(end.icount * share / 100))
