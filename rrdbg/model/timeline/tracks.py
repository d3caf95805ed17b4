"""A recording as a picture of its timeline: named tracks of marks, the guest's clock, and how fast it replays."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rrdbg.model.timeline.clock import GuestClock
from rrdbg.model.timeline.cost import Piece
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import Position

KNOTS = 2_000
"""How many jumps of the guest's clock a picture has at most."""


class TrackKind(StrEnum):
    """How a track is drawn."""

    MARKS = "marks"
    """A line for each mark."""
    RATE = "rate"
    """Columns: how many there are in each stretch."""
    HEIGHTS = "heights"
    """A stem for each mark, as high as its value."""
    RUNS = "runs"
    """A bar from each mark to its last position, coloured by its text."""


@dataclass(frozen=True, slots=True)
class Track:
    """One row: ``name`` in the plural, ``one`` in the singular; ``note`` is what to say where it is empty."""

    name: str
    one: str
    kind: TrackKind
    marks: Sequence[Mark]
    note: str = ""

    @property
    def count(self) -> int:
        """How many things its marks stand for."""
        return sum(mark.count for mark in self.marks)


@dataclass(frozen=True, slots=True)
class ClockKnot:
    """The guest's clock at an icount: nanoseconds since the start ``before`` and ``after`` a jump there."""

    icount: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class TimelineTracks:
    """All that a picture shows of the recording ``name``, from 0 to ``end``.

    Between two of the ``knots`` the clock runs evenly; ``base`` is the time of day at the start, and ``exact`` is
    false where times are only about right. ``facts`` are words about the whole.
    """

    name: str
    end: Position
    base: datetime
    exact: bool
    knots: Sequence[ClockKnot]
    tracks: Sequence[Track]
    speed: Sequence[Piece]
    facts: Sequence[str] = ()

    def elapsed(self, position: Position) -> int:
        """Nanoseconds of guest time from the start to ``position``, by the knots."""
        index = bisect_right(self.knots, position.icount, key=_icount) - 1
        knot = self.knots[index]
        if knot.icount == position.icount:
            return knot.after if position.phase else knot.before
        if index + 1 == len(self.knots):
            return knot.after
        following = self.knots[index + 1]
        length = following.icount - knot.icount
        return knot.after + (following.before - knot.after) * (position.icount - knot.icount) // length

    def track(self, name: str) -> Track:
        """The track of that name.

        :raises KeyError: there is none.
        """
        for track in self.tracks:
            if track.name == name:
                return track
        raise KeyError(name)


def clock_knots(clock: GuestClock, end: Position) -> tuple[ClockKnot, ...]:
    """The clock's jumps up to ``end`` as knots; every n-th if there are more than :data:`KNOTS`."""
    inside = [icount for icount in dict.fromkeys(clock.icounts) if 0 < icount < end.icount]
    every = len(inside) // KNOTS + 1
    icounts = [0, *inside[::every], end.icount] if end.icount else [0]
    return tuple(
        ClockKnot(icount, clock.elapsed(Position(icount)), clock.elapsed(Position(icount, 1))) for icount in icounts
    )


def coarser(pieces: Sequence[Piece], most: int) -> tuple[Piece, ...]:
    """Measured ``pieces`` as at most about ``most``: neighbours are joined, gaps stay."""
    least = sum(piece.length for piece in pieces) // most if len(pieces) > most else 0
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].end == piece.start and joined[-1].length < least:
            last = joined[-1]
            joined[-1] = Piece(last.start, piece.end, last.seconds + piece.seconds)
        else:
            joined.append(piece)
    return tuple(joined)


def _icount(knot: ClockKnot) -> int:
    return knot.icount
