"""Snapshots along a timeline."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.line import WHO_RAN, Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.merging import merged
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


def run(start: int, end: int, who: str) -> Mark:
    return Mark(Position(start), who, last=Position(end))


def runs(timeline: Timeline) -> list[tuple[int, int, str]]:
    return [(mark.position.icount, mark.end.icount, mark.text) for mark in timeline.marks[WHO_RAN]]


def test_who_ran_is_told_anew_of_a_stretch_and_stays_known_of_the_rest() -> None:
    coarse = [run(0, 40, "main"), run(40, 50, "fold"), run(50, 100, "idle")]
    timeline = Timeline(Position(100)).with_runs(Position(0), Position(100), coarse)
    fine = timeline.with_runs(Position(30), Position(60), [run(30, 45, "mix"), run(45, 60, "fold")])
    assert runs(fine) == [(0, 30, "main"), (30, 45, "mix"), (45, 60, "fold"), (60, 100, "idle")]
    inside = timeline.with_runs(Position(10), Position(20), [run(10, 20, "mix")])
    assert runs(inside)[:3] == [(0, 10, "main"), (10, 20, "mix"), (20, 40, "main")]
    other = timeline.with_runs(Position(0), Position(50), [run(0, 50, "other")])
    assert runs(merged(timeline, fine, other)) == runs(fine), "each is a whole, so they are not mixed"
    assert runs(merged(timeline, timeline, other)) == runs(other)
