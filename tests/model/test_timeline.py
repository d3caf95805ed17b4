"""Snapshots along a timeline."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind


def snapshot(icount: int, tag: str = "tag") -> Snapshot:
    return Snapshot(icount, tag, SnapshotKind.NAMED, (f"{icount}.qcow2",))


@given(st.lists(st.integers(0, 50)), st.integers(0, 60))
def test_the_nearest_snapshot(places: list[int], icount: int) -> None:
    timeline = Timeline(Position(100))
    for place in places:
        timeline = timeline.with_snapshot(snapshot(place))
    assert [known.icount for known in timeline.snapshots] == sorted(set(places))
    nearest = timeline.nearest(icount)
    assert (nearest and nearest.icount) == max((place for place in places if place <= icount), default=None)
    exact = timeline.snapshot_at(icount)
    assert (exact and exact.icount) == (icount if icount in places else None)


def test_a_snapshot_replaces_the_one_at_its_place() -> None:
    timeline = Timeline(Position(100)).with_snapshot(snapshot(5, "old")).with_snapshot(snapshot(5, "new"))
    assert [known.tag for known in timeline.snapshots] == ["new"]
    assert timeline.without_snapshot(5).snapshots == ()
    assert timeline.without_snapshot(6) == timeline


def test_where_stepping_to_an_ambiguous_place_begins() -> None:
    timeline = Timeline(Position(100), Deliveries.of([(10, Delivery.EXCEPTION), (11, Delivery.INTERRUPT)]))
    assert timeline.landing_before(Position(9)) == 9
    assert timeline.landing_before(Position(10)) == 9
    assert timeline.landing_before(Position(11, 1)) == 9
    assert timeline.landing_before(Position(12)) == 12
    assert timeline.landing_before(Position(12, 1)) == 9, "a phase that may not exist is looked for by stepping"
