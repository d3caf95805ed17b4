"""What scans have found, kept: on which stretches of the timeline all hits of a point are known, and these hits.

A stretch is as :mod:`rrdbg.engine.search.scan` has it: ``[start, end)`` for breakpoints, ``(start, end]`` for
watchpoints, so that stretches which abut count every hit once. A recording always replays in the same way, so what was
true once stays true. Conditions are no part of it: only scans that let every hit count may be noted.

A breakpoint's hit that is not ``exact`` is known by its icount alone. Where that does not suffice to tell on which side
of a boundary it lies, or which of two hits came first, that icount counts as not known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rrdbg.model.hits.stop import Breakpoint, Hit, Point, WatchKind, Watchpoint
from rrdbg.model.timeline.position import Position

MOST_HITS = 20_000
"""How much an index holds at most: about as many hits, a megabyte on disk; points that were not used for long go."""

MOST_POINTS = 256
"""How many points it knows about at most."""

_BREAK = "break"
_BYTES_OF_A_HIT = 32
_MANY_POINTS = 1 << 20

Stretch = tuple[Position, Position]


@dataclass(frozen=True, slots=True)
class PointKey:
    """What a point looks for, whatever its number: ``kind`` is ``break`` or a watchpoint's, ``length`` in bytes."""

    kind: str
    address: int
    length: int = 0

    @classmethod
    def of(cls, point: Point) -> PointKey:
        """The key of a breakpoint or watchpoint."""
        if isinstance(point, Breakpoint):
            return cls(_BREAK, point.address)
        return cls(point.kind.value, point.address, point.length)

    def __str__(self) -> str:
        what = "breakpoint" if self.kind == _BREAK else self.kind
        return f"{what} *{self.address:#x}" + (f":{self.length}" if self.length else "")

    def point(self, number: int = 0) -> Point:
        """A point that looks for this.

        :raises ValueError: there is no such kind.
        """
        if self.kind == _BREAK:
            return Breakpoint(number, self.address)
        return Watchpoint(number, self.address, self.length, WatchKind(self.kind))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one point: its ``hits`` on the stretches that are ``covered``; both in order."""

    covered: tuple[Stretch, ...] = ()
    hits: tuple[Hit, ...] = ()

    @property
    def weight(self) -> int:
        """How much of an index it takes, in hits of a usual size."""
        bytes_of_change = sum(len(hit.change.after) for hit in self.hits[:1] if hit.change)
        return len(self.hits) * (1 + 2 * bytes_of_change // _BYTES_OF_A_HIT) + len(self.covered)

    @property
    def instructions(self) -> int:
        """How many instructions the stretches have in all."""
        return sum(end.icount - start.icount for start, end in self.covered)

    def with_stretch(self, start: Position, end: Position, hits: Sequence[Hit]) -> Known:
        """This and what a scan from ``start`` to ``end`` has found, where that was not known before."""
        hits = sorted(hits, key=_position)
        vague = {hit.position.icount for hit in hits if not hit.exact}
        added: list[Hit] = []
        covered = self.covered
        for low, high in _gaps(self.covered, start, end):
            if low.phase and low.icount in vague:
                low = Position(low.icount + 1)
            if high.phase and high.icount in vague:
                # A hit there may be one behind the phase that is known already.
                high = Position(high.icount)
            if low < high:
                covered = _joined([*covered, (low, high)])
                added += _within(hits, low, high)
        merged = sorted([*self.hits, *added], key=_position) if added else self.hits
        return Known(covered, tuple(merged))

    def joined(self, other: Known) -> Known:
        """This and, where it knows nothing, what ``other`` knows."""
        known = self
        for start, end in other.covered:
            near = other.hits[
                _first(other.hits, Position(start.icount)) : _behind(other.hits, Position(end.icount + 1))
            ]
            known = known.with_stretch(start, end, near)
        return known


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the timeline: its ``hits`` if they are known, or None where a scan must tell."""

    start: Position
    end: Position
    hits: tuple[Hit, ...] | None = None


@dataclass(frozen=True, slots=True)
class HitIndex:
    """What is known of each point; those used last come last."""

    points: Mapping[PointKey, Known] = field(default_factory=dict)

    def pieces(self, points: Sequence[Point], start: Position, end: Position) -> list[Piece]:
        """The stretch from ``start`` to ``end`` in pieces, in order, known or not for all of ``points`` together."""
        asked = {PointKey.of(point): (point, rank) for rank, point in enumerate(points)}
        covered: Sequence[Stretch] = ((start, end),)
        found: list[tuple[Position, int, Hit]] = []
        for key, (point, rank) in asked.items():
            known = self.points.get(key, Known())
            covered = _common(covered, known.covered)
            near = known.hits[_first(known.hits, Position(start.icount)) : _behind(known.hits, end)]
            found += [(hit.position, _rank(point) + rank, replace(hit, point=point)) for hit in near]
        hits = [hit for _, _, hit in sorted(found, key=lambda item: item[:2])]
        covered = _certain(covered, hits, start)
        return _alternating(covered, start, end, hits)

    def with_scan(self, points: Sequence[Point], start: Position, end: Position, hits: Sequence[Hit]) -> HitIndex:
        """This index and the result of a scan with ``points`` from ``start`` to ``end``, which found ``hits``."""
        return self._with([(point, end) for point in points], start, hits)

    def with_scan_until(self, points: Sequence[Point], start: Position, hits: Sequence[Hit]) -> HitIndex:
        """This index and a scan with ``points`` that was left at the last of ``hits``."""
        last = hits[-1]
        return self._with([(point, _known_until(point, last)) for point in points], start, hits)

    def _with(self, points: Iterable[tuple[Point, Position]], start: Position, hits: Sequence[Hit]) -> HitIndex:
        index = dict(self.points)
        for point, end in points:
            key = PointKey.of(point)
            own = [replace(hit, point=key.point()) for hit in hits if PointKey.of(hit.point) == key]
            known = index.pop(key, Known())
            index[key] = known.with_stretch(start, end, own) if start < end else known
        return HitIndex(_bounded(index))

    def with_exact(self, hit: Hit, position: Position) -> HitIndex:
        """This index, with the exact position of a ``hit`` of which only the icount was known."""
        key = PointKey.of(hit.point)
        known = self.points.get(key, Known())
        same = [other for other in known.hits if (other.position, other.exact) == (hit.position, False)]
        if len(same) != 1 or hit.position.icount != position.icount:
            return self
        hits = [replace(other, position=position, exact=True) if other is same[0] else other for other in known.hits]
        return HitIndex({**self.points, key: Known(known.covered, tuple(sorted(hits, key=_position)))})

    def with_judged(self, hit: Hit, judged: Hit | None) -> HitIndex:
        """This index, with what has become of a ``hit`` that was not judged."""
        key = PointKey.of(hit.point)
        known = self.points.get(key, Known())
        kept = [other for other in known.hits if other.judged or other.position != hit.position]
        if len(kept) == len(known.hits):
            return self
        hits = [*kept, replace(judged, point=key.point())] if judged else kept
        return HitIndex({**self.points, key: Known(known.covered, tuple(sorted(hits, key=_position)))})

    def joined(self, other: HitIndex) -> HitIndex:
        """This and what ``other`` knows besides, whose points count as not used for longer."""
        index = {key: known for key, known in other.points.items() if key not in self.points}
        for key, known in self.points.items():
            index[key] = known.joined(other.points[key]) if key in other.points else known
        return HitIndex(_bounded(index))

    def used(self, points: Sequence[Point]) -> HitIndex:
        """This index, with ``points`` as those that were used last."""
        keys = [key for point in points if (key := PointKey.of(point)) in self.points]
        others = {key: known for key, known in self.points.items() if key not in keys}
        return HitIndex(others | {key: self.points[key] for key in keys})


def skimmed(pieces: Sequence[Piece], worth: Callable[[int, int], bool]) -> list[Piece]:
    """``pieces`` for a scan that must judge each hit: what is known to have none may be left out.

    ``worth`` tells whether it pays to leave out what lies between two icounts.
    """
    bare = [
        (low, high)
        for piece in pieces
        for low, high in _bare(piece)
        if low < high and worth(low.icount, high.icount)
    ]  # fmt: skip
    return _alternating(bare, pieces[0].start, pieces[-1].end, ()) if pieces else []


def _bounded(points: Mapping[PointKey, Known]) -> dict[PointKey, Known]:
    """``points`` without those that were not used for longest, if they are too much; none takes half of an index."""
    kept = {key: known for key, known in points.items() if known.weight <= MOST_HITS // 2}
    weight = sum(known.weight for known in kept.values())
    while len(kept) > MOST_POINTS or weight > MOST_HITS:
        weight -= kept.pop(next(iter(kept))).weight
    return kept


def _bare(piece: Piece) -> Iterable[Stretch]:
    """The stretches of ``piece`` that are known to have no hit."""
    if piece.hits is None:
        return ()
    icounts = [hit.position.icount for hit in piece.hits]
    starts = [piece.start, *(Position(icount + 1) for icount in icounts)]
    ends = [*(Position(max(icount - 1, 0)) for icount in icounts), piece.end]
    return zip(starts, ends, strict=True)


def _known_until(point: Point, last: Hit) -> Position:
    """Up to where a scan that was left at ``last`` knows all about ``point``."""
    here = last.position
    if isinstance(point, Watchpoint):
        # Of what the same instruction may have set off ``last`` is only the first.
        return here if PointKey.of(last.point) == PointKey.of(point) else Position(max(here.icount - 1, 0))
    return here if last.exact else Position(here.icount)


def _certain(covered: Sequence[Stretch], hits: Sequence[Hit], start: Position) -> Sequence[Stretch]:
    """``covered`` without the icounts where the order of ``hits`` among each other or to a boundary is not known."""
    vague = {hit.position.icount for hit in hits if not hit.exact}
    if not vague:
        return covered
    counted = Counter(hit.position.icount for hit in hits)
    boundaries = {low.icount for low, _ in covered if low.phase or low == start}
    boundaries |= {high.icount for _, high in covered if high.phase}
    for icount in vague:
        if counted[icount] > 1 or icount in boundaries:
            covered = _without(covered, Position(icount), Position(icount + 1))
    return covered


def _alternating(covered: Sequence[Stretch], start: Position, end: Position, hits: Sequence[Hit]) -> list[Piece]:
    """``covered`` with the ``hits`` there, and between them what is not covered."""
    pieces = [Piece(low, high) for low, high in _gaps(covered, start, end)]
    pieces += [Piece(low, high, tuple(_within(hits, low, high))) for low, high in covered]
    return sorted(pieces, key=lambda piece: piece.start)


def _within(hits: Sequence[Hit], start: Position, end: Position) -> list[Hit]:
    """Those of ``hits``, which are in order, that the stretch from ``start`` to ``end`` counts."""
    near = hits[_first(hits, start) : _behind(hits, end)]
    return [
        hit
        for hit in near
        if (start < hit.position <= end if isinstance(hit.point, Watchpoint) else start <= hit.position < end)
    ]


def _gaps(covered: Sequence[Stretch], start: Position, end: Position) -> list[Stretch]:
    """What ``covered`` leaves of the stretch from ``start`` to ``end``."""
    gaps = []
    for low, high in covered:
        if low >= end:
            break
        if low > start:
            gaps.append((start, low))
        start = max(start, high)
    if start < end:
        gaps.append((start, end))
    return gaps


def _common(some: Sequence[Stretch], others: Sequence[Stretch]) -> list[Stretch]:
    """What both cover."""
    both = [(max(low, other[0]), min(high, other[1])) for low, high in some for other in _touching(others, low, high)]
    return [(low, high) for low, high in both if low < high]


def _touching(covered: Sequence[Stretch], start: Position, end: Position) -> Sequence[Stretch]:
    return covered[bisect_right(covered, start, key=lambda item: item[1]) : bisect_left(covered, end, key=_start)]


def _without(covered: Sequence[Stretch], start: Position, end: Position) -> list[Stretch]:
    parts = [part for low, high in covered for part in ((low, min(high, start)), (max(low, end), high))]
    return [(low, high) for low, high in parts if low < high]


def _joined(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """``stretches`` in order, those that abut or overlap made one."""
    joined: list[Stretch] = []
    for low, high in sorted(stretches):
        if joined and low <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return tuple(joined)


def _rank(point: Point) -> int:
    """Where ``point`` stands among those that are hit at one position: in the order in which a scan tells them."""
    if isinstance(point, Breakpoint):
        return 2 * _MANY_POINTS
    return 0 if point.kind is WatchKind.WRITE else _MANY_POINTS


def _first(hits: Sequence[Hit], position: Position) -> int:
    return bisect_left(hits, position, key=_position)


def _behind(hits: Sequence[Hit], position: Position) -> int:
    return bisect_right(hits, position, key=_position)


def _position(hit: Hit) -> Position:
    return hit.position


def _start(stretch: Stretch) -> Position:
    return stretch[0]
