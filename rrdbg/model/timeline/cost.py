"""What replaying costs: seconds for each stretch of the timeline, as far as it was measured.

Replay speed is uneven: one boot of Linux has 20 million instructions that take 0.03 s and others that take
3 s. So nothing here ever assumes a speed where one was measured; elsewhere the mean of what was measured holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

UNMEASURED_SPEED = 50e6
"""Instructions a second where nothing at all is known."""

REPLAY_PER_RECORDING = 2.0
"""How much longer a replay takes than the recording took: Linux's boot 10 s instead of 5 s."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Replaying from icount ``start`` to ``end`` took ``seconds``."""

    start: int
    end: int
    seconds: float

    @property
    def length(self) -> int:
        """Instructions."""
        return self.end - self.start

    def share(self, low: int, high: int) -> float:
        """The seconds of its part in ``[low, high]``, taken as even inside the piece."""
        overlap = min(high, self.end) - max(low, self.start)
        return self.seconds * overlap / self.length if overlap > 0 else 0.0


@dataclass(frozen=True, slots=True)
class CostMap:
    """Measured pieces, in order and never overlapping; ``guess`` is the speed as long as there are none."""

    pieces: tuple[Piece, ...] = ()
    guess: float = UNMEASURED_SPEED

    @property
    def speed(self) -> float:
        """Mean instructions a second over all that was measured."""
        seconds = sum(piece.seconds for piece in self.pieces)
        return sum(piece.length for piece in self.pieces) / seconds if seconds else self.guess

    @property
    def measured(self) -> int:
        """How many instructions were measured."""
        return sum(piece.length for piece in self.pieces)

    def with_piece(self, piece: Piece) -> CostMap:
        """This map and ``piece``, of which only what was not measured before is taken."""
        if piece.length <= 0:
            return self
        low, high = self._touching(piece.start, piece.end)
        gaps = _gaps(self.pieces[low:high], piece.start, piece.end)
        new = [Piece(start, end, piece.share(start, end)) for start, end in gaps]
        if not new:
            return self
        around = sorted([*self.pieces[low:high], *new], key=_start)
        return CostMap((*self.pieces[:low], *around, *self.pieces[high:]), self.guess)

    def seconds(self, start: int, end: int) -> float:
        """How long replaying from ``start`` to ``end`` takes, measured where possible."""
        if end <= start:
            return 0.0
        low, high = self._touching(start, end)
        touched = self.pieces[low:high]
        known = sum(piece.share(start, end) for piece in touched)
        unknown = sum(stop - begin for begin, stop in _gaps(touched, start, end))
        return known + (unknown / self.speed if unknown else 0.0)

    def back(self, icount: int, seconds: float) -> int:
        """The icount from which replaying to ``icount`` takes ``seconds``; 0 if all of it takes less.

        Found by halving, since :meth:`seconds` only grows with the distance.
        """
        low, high = 0, icount
        while low < high:
            middle = (low + high) // 2
            if self.seconds(middle, icount) > seconds:
                low = middle + 1
            else:
                high = middle
        return low

    def _touching(self, start: int, end: int) -> tuple[int, int]:
        return bisect_right(self.pieces, start, key=_end), bisect_left(self.pieces, end, key=_start)


def _gaps(pieces: Iterable[Piece], start: int, end: int) -> list[tuple[int, int]]:
    """What ``pieces`` (in order) leave uncovered of ``[start, end]``."""
    gaps = []
    for piece in pieces:
        if piece.start > start:
            gaps.append((start, piece.start))
        start = max(start, piece.end)
    if start < end:
        gaps.append((start, end))
    return gaps


def _start(piece: Piece) -> int:
    return piece.start


def _end(piece: Piece) -> int:
    return piece.end
