"""What replaying costs: seconds for each stretch of the timeline, measured where it was, else known from the log.

Replay speed is uneven: one boot of Linux has 20 million instructions that take 0.03 s and others that take 3 s. What
makes the difference is the events of the log, and where they lie is known beforehand. So where nothing was measured a
stretch costs so much for each instruction and so much for each byte of log in it, and these two rates follow what is
measured elsewhere in the recording.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from rrdbg.model.timeline.profile import Profile

SECONDS_PER_INSTRUCTION = 2.5e-9
"""Where nothing at all is known: x86 Linux on a machine of 2024."""

SECONDS_PER_BYTE = 0.4e-6
"""For events: OVMF and memtest86+, which spin, take 0.36 and 0.35 us for a byte of log, a Linux boot 0.5."""

_RECORDING_SECONDS_PER_BYTE = 0.13e-6
"""What writing an event cost while recording (the same guests), on top of its instructions."""

_LEAST_PER_INSTRUCTION = 0.5e-9
_DOUBT = 0.001
"""Seconds: what was expected of the rates counts as if so much had been measured, and had been as expected."""

_LEAST_FACTOR, _MOST_FACTOR = 0.1, 20.0


class Rates(NamedTuple):
    """Seconds of replay for each instruction, and for each byte of log."""

    instruction: float = SECONDS_PER_INSTRUCTION
    byte: float = SECONDS_PER_BYTE


def expected_rates(instructions: int, log_bytes: int, recording_seconds: float) -> Rates:
    """What a replay will probably cost of which QEMU took ``recording_seconds`` of processor to record it."""
    executing = recording_seconds - log_bytes * _RECORDING_SECONDS_PER_BYTE
    return Rates(max(executing / max(instructions, 1), _LEAST_PER_INSTRUCTION))


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


class _Sums(NamedTuple):
    """Of all pieces, what least squares need: of instructions' and bytes' expected seconds, and the measured ones."""

    aa: float = 0.0
    ab: float = 0.0
    bb: float = 0.0
    at: float = 0.0
    bt: float = 0.0

    def plus(self, a: float, b: float, took: float) -> _Sums:
        """With one piece more, for which ``a`` + ``b`` seconds were expected, and that ``took`` these.

        The error that counts is in proportion to what a piece took, and a long piece counts more than a short one.
        """
        took = max(took, 1e-6)
        return _Sums(self.aa + a * a / took, self.ab + a * b / took, self.bb + b * b / took, self.at + a, self.bt + b)

    def factors(self) -> tuple[float, float]:
        """By what the two expectations are to be multiplied: least squares, drawn towards 1."""
        aa, bb, at, bt = self.aa + _DOUBT, self.bb + _DOUBT, self.at + _DOUBT, self.bt + _DOUBT
        whole = aa * bb - self.ab * self.ab
        first, second = (at * bb - bt * self.ab) / whole, (bt * aa - at * self.ab) / whole
        return _bounded(first), _bounded(second)


@dataclass(frozen=True, slots=True)
class CostMap:
    """Measured pieces, in order and never overlapping; elsewhere ``profile`` and ``rates`` tell what to expect."""

    pieces: tuple[Piece, ...] = ()
    profile: Profile = field(default_factory=Profile)
    rates: Rates = field(default_factory=Rates)
    _sums: _Sums | None = field(default=None, compare=False, repr=False)
    _factors: tuple[float, float] = field(default=(1.0, 1.0), init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        sums = self._sums
        if sums is None:
            sums = _Sums()
            for piece in self.pieces:
                sums = sums.plus(*self._expected(piece.start, piece.end), piece.seconds)
            object.__setattr__(self, "_sums", sums)
        object.__setattr__(self, "_factors", sums.factors())

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
        sums = self._sums
        assert sums is not None
        for part in new:
            sums = sums.plus(*self._expected(part.start, part.end), part.seconds)
        return CostMap((*self.pieces[:low], *around, *self.pieces[high:]), self.profile, self.rates, sums)

    def forgotten(self) -> CostMap:
        """A map of the same log in which nothing was measured yet."""
        return CostMap((), self.profile, self.rates)

    def seconds(self, start: int, end: int) -> float:
        """How long replaying from ``start`` to ``end`` takes, measured where possible."""
        if end <= start:
            return 0.0
        low, high = self._touching(start, end)
        touched = self.pieces[low:high]
        known = sum(piece.share(start, end) for piece in touched)
        return known + sum(self._guess(begin, stop) for begin, stop in _gaps(touched, start, end))

    def back(self, icount: int, seconds: float) -> int:
        """The icount from which replaying to ``icount`` takes ``seconds``; 0 if all of it takes less."""
        return _first(0, icount, lambda low: self.seconds(low, icount) <= seconds)

    def ahead(self, icount: int, seconds: float, end: int) -> int:
        """The icount up to which replaying from ``icount`` takes ``seconds``; ``end`` if all up to there takes less."""
        reach = 1 << 16
        while icount + reach < end and self.seconds(icount, icount + reach) <= seconds:
            reach *= 2
        return _first(icount, min(icount + reach, end), lambda high: self.seconds(icount, high) >= seconds)

    def _expected(self, start: int, end: int) -> tuple[float, float]:
        """What was expected before anything was measured: for the instructions, and for the events."""
        return (end - start) * self.rates.instruction, self.profile.between(start, end) * self.rates.byte

    def _guess(self, start: int, end: int) -> float:
        (executing, waiting), (first, second) = self._expected(start, end), self._factors
        return executing * first + waiting * second

    def _touching(self, start: int, end: int) -> tuple[int, int]:
        return bisect_right(self.pieces, start, key=_end), bisect_left(self.pieces, end, key=_start)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The least number from ``low`` to ``high`` for which ``holds`` is true, which stays so; ``high`` if none is."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _bounded(factor: float) -> float:
    return min(max(factor, _LEAST_FACTOR), _MOST_FACTOR)


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
