"""Marks that are gathered, and the other pure parts of a picture of the timeline."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.clock import GuestClock
from rrdbg.model.timeline.cost import Piece
from rrdbg.model.timeline.line import MARKS_KEPT, Timeline
from rrdbg.model.timeline.mark import Mark, gather
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.tracks import KNOTS, ClockKnot, clock_knots, coarser

END = Position(1000)
icounts = st.lists(st.integers(0, END.icount), max_size=80).map(sorted)


@given(icounts=icounts, most=st.integers(1, 90))
def test_gathered_marks_are_few_in_order_and_leave_nothing_out(icounts: list[int], most: int) -> None:
    marks = [Mark(Position(icount), str(index)) for index, icount in enumerate(icounts)]
    found = gather(marks, most, END)
    assert len(found) <= most
    if len(marks) <= most:
        assert list(found) == marks
    taken = 0
    for mark in found:
        members = marks[taken : taken + mark.count]
        assert (mark.position, mark.end, mark.text) == (members[0].position, members[-1].position, members[0].text)
        taken += mark.count
    assert taken == len(marks)


def test_gathering_keeps_what_lies_apart_apart() -> None:
    near, far = range(100, 200), (500, 700, 900)
    found = gather((Mark(Position(icount)) for icount in (*near, *far)), 20, END)
    assert [mark.position.icount for mark in found[-3:]] == list(far)
    assert sum(mark.count for mark in found) == 103


@given(lengths=st.lists(st.integers(1, 50), max_size=60), holes=st.lists(st.booleans(), min_size=60, max_size=60))
def test_coarser_pieces_cover_the_same_in_the_same_time(lengths: list[int], holes: list[bool]) -> None:
    pieces, at = [], 0
    for length, hole in zip(lengths, holes, strict=False):
        at += 5 * hole
        pieces.append(Piece(at, at + length, float(length % 7)))
        at += length
    found = coarser(pieces, 10)
    assert sum(piece.length for piece in found) == sum(piece.length for piece in pieces)
    assert sum(piece.seconds for piece in found) == sum(piece.seconds for piece in pieces)
    assert len(found) <= 10 + 1 + sum(holes)
    covered = {icount for piece in pieces for icount in range(piece.start, piece.end)}
    assert covered == {icount for piece in found for icount in range(piece.start, piece.end)}


def test_the_clock_is_drawn_with_its_jumps() -> None:
    clock = GuestClock(datetime(2026, 11, 22, tzinfo=UTC), 8)
    clock.icounts.extend((100, 100, 300))
    clock.times.extend((5_000, 6_000, 9_000))
    assert clock_knots(clock, END) == (
        ClockKnot(0, 0, 0),
        ClockKnot(100, 800, 6_000),
        ClockKnot(300, 7_600, 9_000),
        ClockKnot(1000, 14_600, 14_600),
    )
    clock.icounts.extend(range(301, 301 + 3 * KNOTS))
    clock.times.extend(range(9_001, 9_001 + 3 * KNOTS))
    assert len(clock_knots(clock, Position(10 * KNOTS))) <= KNOTS + 2


def test_a_mark_takes_the_place_of_one_at_its_position_and_old_ones_are_forgotten() -> None:
    timeline = Timeline(END)
    for icount in (5, 3, 5):
        timeline = timeline.with_mark("stops", Mark(Position(icount), "again"))
    assert [mark.position.icount for mark in timeline.marks["stops"]] == [3, 5]
    for icount in range(MARKS_KEPT):
        timeline = timeline.with_mark("stops", Mark(Position(icount, 1)))
    assert len(timeline.marks["stops"]) == MARKS_KEPT
    assert timeline.marks["stops"][0].position == Position(0, 1)
