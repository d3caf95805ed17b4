"""Which spares are wished for, without any QEMU."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.cost import CostMap, Piece
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.spare import MOST_SECONDS, NEAR_INSTRUCTIONS, unmet, wishes

END = 100_000_000


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    ambiguous = draw(st.lists(st.integers(1, END - 1), max_size=20, unique=True))
    deliveries = Deliveries.of((icount, Delivery.INTERRUPT) for icount in sorted(ambiguous))
    seconds = draw(st.floats(0.001, 100.0))
    timeline = Timeline(Position(END), deliveries, (_snapshot(0),), cost=CostMap((Piece(0, END, seconds),)))
    for icount in draw(st.sets(st.integers(1, END), max_size=6)):
        if deliveries.is_plain(icount):
            timeline = timeline.with_snapshot(_snapshot(icount))
    return timeline


def _snapshot(icount: int) -> Snapshot:
    return Snapshot(icount, f"rrdbg-{icount}", SnapshotKind.PERIODIC if icount else SnapshotKind.INITIAL, ())


@given(timelines(), st.integers(0, END))
def test_spares_can_be_made_and_lie_before_the_cursor(timeline: Timeline, cursor: int) -> None:
    for wish in wishes(timeline, Position(cursor)):
        assert wish.snapshot in timeline.snapshots
        assert wish.snapshot.icount <= wish.icount < cursor
        assert timeline.deliveries.is_plain(wish.icount)
        assert wish.met_by(wish.icount)
        assert timeline.cost.seconds(wish.snapshot.icount, wish.icount) <= MOST_SECONDS


@given(timelines(), st.integers(NEAR_INSTRUCTIONS, END))
def test_a_search_backwards_finds_two_at_the_snapshot_before_the_cursor(timeline: Timeline, cursor: int) -> None:
    before = timeline.nearest(cursor - 1)
    assert before
    assert [wish.icount for wish in wishes(timeline, Position(cursor))].count(before.icount) >= 2


@given(timelines(), st.integers(0, END))
def test_what_was_wished_for_is_missed_no_more(timeline: Timeline, cursor: int) -> None:
    wanted = wishes(timeline, Position(cursor))
    icounts = [wish.icount for wish in wanted]
    assert unmet(wanted, icounts) == ((), ())
    assert unmet(wanted, []) == (wanted, ())
    assert unmet((), icounts) == ((), tuple(range(len(icounts))))
    if wanted:
        missing, unneeded = unmet(wanted, icounts[1:])
        assert len(missing) == 1
        assert not unneeded
