"""What the index says is what the scans said that it was told of, however they overlapped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.hits import index as hit_index
from rrdbg.model.hits.index import HitIndex, Piece, PointKey, skimmed
from rrdbg.model.hits.stop import Breakpoint, Hit, Point, WatchKind, Watchpoint
from rrdbg.model.timeline.position import START, Position

END = Position(40)
AMBIGUOUS = {7: 3, 8: 2, 20: 2, 31: 4}
"""Icounts with several phases, and how many."""

PLACES = [Position(icount, phase) for icount in range(END.icount) for phase in range(AMBIGUOUS.get(icount, 1))]
POINTS: list[Point] = [Breakpoint(1, 0x10), Breakpoint(2, 0x20), Watchpoint(3, 0x30, 8), Watchpoint(4, 0x40, 4)]


@dataclass(frozen=True)
class Guest:
    """Where each point really is hit."""

    places: dict[Point, set[Position]]

    def hits(self, points: Sequence[Point], start: Position, end: Position) -> list[Hit]:
        """The truth, in the order of time."""
        found = [
            Hit(place, 0x99, point)
            for point in points
            for place in self.places[point]
            if _counts(point, place, start, end)
        ]
        return sorted(found, key=lambda hit: (hit.position, isinstance(hit.point, Breakpoint), points.index(hit.point)))

    def scan(self, points: Sequence[Point], start: Position, end: Position) -> Iterator[Hit]:
        """What a scan tells of it: it runs freely over ambiguous icounts, but for those at its ends."""
        for hit in self.hits(points, start, end):
            place = hit.position
            walked = place.icount == end.icount or place == start
            if isinstance(hit.point, Watchpoint) or place.icount not in AMBIGUOUS or walked:
                yield hit
            else:
                yield replace(hit, position=Position(place.icount), exact=False)


def _counts(point: Point, place: Position, start: Position, end: Position) -> bool:
    return start < place <= end if isinstance(point, Watchpoint) else start <= place < end


places = st.sampled_from([*PLACES, END])
some_points = st.lists(st.sampled_from(POINTS), min_size=1, max_size=3, unique=True)


@st.composite
def guests(draw: st.DrawFn) -> Guest:
    found: dict[Point, set[Position]] = {}
    taken: set[Position] = set()
    for point in POINTS:
        mine = draw(st.sets(st.sampled_from(PLACES), max_size=12))
        # An instruction has one address, so no two breakpoints are hit at one position, nor one twice at an icount.
        if isinstance(point, Breakpoint):
            mine = {
                place for place in mine - taken if place.phase == min(p.phase for p in mine if p.icount == place.icount)
            }
            taken |= mine
        found[point] = mine
    return Guest(found)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[Position, Position]:
    start, end = sorted((draw(places), draw(places)))
    return (start, end) if start < end else (START, END)


def checked(guest: Guest, points: Sequence[Point], pieces: Sequence[Piece], start: Position, end: Position) -> None:
    assert [pieces[0].start, pieces[-1].end] == [start, end]
    assert all(before.end == after.start for before, after in itertools.pairwise(pieces))
    for piece in pieces:
        if piece.hits is not None:
            truth = guest.hits(points, piece.start, piece.end)
            assert [(hit.point, hit.position.icount) for hit in piece.hits] == [
                (hit.point, hit.position.icount) for hit in truth
            ]
            for hit, real in zip(piece.hits, truth, strict=True):
                assert hit.position == real.position or not hit.exact


@given(
    guest=guests(),
    scans=st.lists(st.tuples(some_points, stretches(), st.none() | st.integers(1, 5), st.booleans()), max_size=8),
    asked=some_points,
    stretch=stretches(),
)
def test_pieces_tell_the_truth(
    guest: Guest,
    scans: list[tuple[list[Point], tuple[Position, Position], int | None, bool]],
    asked: list[Point],
    stretch: tuple[Position, Position],
) -> None:
    index = HitIndex()
    for points, (start, end), left_after, resolve in scans:
        hits = list(guest.scan(points, start, end))
        if left_after is None or len(hits) < left_after:
            index = index.with_scan(points, start, end, hits)
        else:
            index = index.with_scan_until(points, start, hits[:left_after])
        for hit in hits if resolve else ():
            real = [place for place in guest.places[hit.point] if place.icount == hit.position.icount]
            if not hit.exact and len(real) == 1:
                index = index.with_exact(hit, real[0])
    checked(guest, asked, index.pieces(asked, *stretch), *stretch)


@given(guest=guests(), points=some_points, stretch=stretches())
def test_what_was_scanned_is_known(guest: Guest, points: list[Point], stretch: tuple[Position, Position]) -> None:
    """All of it, but for icounts where two hits cannot be told apart."""
    index = HitIndex().with_scan(points, START, END, list(guest.scan(points, START, END)))
    for piece in index.pieces(points, *stretch):
        assert piece.hits is not None or any(
            icount in AMBIGUOUS for icount in range(piece.start.icount, piece.end.icount + 1)
        )


@given(guest=guests(), points=some_points, stretch=stretches(), least=st.integers(0, 10))
def test_what_is_skimmed_over_has_no_hits(
    guest: Guest, points: list[Point], stretch: tuple[Position, Position], least: int
) -> None:
    index = HitIndex().with_scan(points, START, END, list(guest.scan(points, START, END)))
    pieces = skimmed(index.pieces(points, *stretch), lambda low, high: high - low >= least)
    checked(guest, points, pieces, *stretch)
    assert all(not piece.hits for piece in pieces)


def test_points_that_were_not_used_for_long_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_index, "MOST_HITS", 10)
    index = HitIndex()
    for number in range(3):
        points = [Breakpoint(number, 0x100 + number)]
        index = index.with_scan(points, START, END, [Hit(Position(5 * i), 0, points[0]) for i in range(3)])
        index = index.used([Breakpoint(0, 0x100)])
    assert [key.address for key in index.points] == [0x102, 0x100]
    many = [Watchpoint(1, 0x200, 8, WatchKind.ACCESS)]
    index = index.with_scan(many, START, END, [Hit(Position(i + 1), 0, many[0]) for i in range(20)])
    assert [key.address for key in index.points] == [0x102, 0x100], "one that takes too much alone pushes none out"
    assert PointKey.of(many[0]).point(7) == replace(many[0], number=7)


def test_a_hit_is_not_counted_twice_where_only_its_icount_is_known() -> None:
    """A scan knows the hit behind a delivery exactly, and a later one from further away knows only its icount."""
    point = Breakpoint(1, 0x20)
    behind = Hit(Position(7, 2), 0x99, point)
    vague = replace(behind, position=Position(7), exact=False)
    index = HitIndex().with_scan([point], Position(7, 2), Position(8), [behind])
    index = index.with_scan([point], Position(0), Position(40), [vague]).with_exact(vague, Position(7, 2))
    hits = [hit for piece in index.pieces([point], Position(0), Position(40)) for hit in piece.hits or ()]
    assert [hit.position for hit in hits] == [Position(7, 2)]
