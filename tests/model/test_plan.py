"""Plans, without any QEMU."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.cost import CostMap, Piece
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.fence import last_reachable
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.plan import Rates, RunTo, Start, StepTo, plan_reverse_scan, plan_seek, price

END = 1_000


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    ambiguous = draw(st.lists(st.integers(1, END - 1), max_size=60))
    deliveries = Deliveries.of((icount, Delivery.INTERRUPT) for icount in sorted(ambiguous))
    places = draw(st.sets(st.integers(1, END), max_size=10))
    timeline = Timeline(Position(END), deliveries, (snapshot(0),))
    for icount in places:
        if deliveries.is_plain(icount):
            timeline = timeline.with_snapshot(snapshot(icount))
    return timeline


def snapshot(icount: int) -> Snapshot:
    kind = SnapshotKind.PERIODIC if icount else SnapshotKind.INITIAL
    return Snapshot(icount, f"rrdbg-{icount}", kind, ())


positions = st.builds(Position, st.integers(0, END - 1), st.integers(0, 1))


@given(timelines(), st.none() | positions, positions)
def test_a_seek_goes_to_its_target_by_plain_places(timeline: Timeline, here: Position | None, target: Position) -> None:
    at = here
    for action in plan_seek(timeline, here, target, Rates()):
        match action:
            case Start(start):
                assert timeline.deliveries.is_plain(start.icount)
                at = Position(start.icount)
            case RunTo(icount):
                assert at is not None
                assert timeline.deliveries.is_plain(icount)
                assert at < Position(icount)
                at = Position(icount)
            case StepTo(position):
                assert at is not None
                assert at < position
                at = position
    assert at == target


@given(timelines(), st.none() | positions, positions)
def test_a_seek_takes_the_cheapest_way(timeline: Timeline, here: Position | None, target: Position) -> None:
    rates = Rates()
    fresh = plan_seek(timeline, None, target, rates)
    assert price(plan_seek(timeline, here, target, rates), here, rates) <= price(fresh, here, rates)


@given(timelines(), positions)
def test_a_reverse_scan_covers_all_that_is_before(timeline: Timeline, here: Position) -> None:
    end = here
    for segment in plan_reverse_scan(timeline, here):
        assert segment.end == end
        assert Position(segment.snapshot.icount) < end
        end = Position(segment.snapshot.icount)
    assert end == START


def test_a_reverse_scan_takes_longer_stretches_the_further_back_it_gets() -> None:
    # 60 gaps that take half a second each.
    snapshots = tuple(Snapshot(icount, str(icount), SnapshotKind.PERIODIC, ()) for icount in range(0, 6000, 100))
    timeline = Timeline(Position(6000), snapshots=snapshots, cost=CostMap((Piece(0, 6000, 30.0),)))
    lengths = [segment.end.icount - segment.start.icount for segment in plan_reverse_scan(timeline, Position(6000))]
    assert sum(lengths) == 6000
    assert lengths[:2] == [100, 200]
    assert lengths[:-1] == sorted(lengths[:-1])
    assert len(lengths) < 20
    assert max(lengths) <= 1000


@given(timelines(), positions)
def test_the_landing_is_plain_and_not_behind_the_place(timeline: Timeline, position: Position) -> None:
    landing = timeline.landing_before(position)
    assert landing == 0 or timeline.deliveries.is_plain(landing)
    assert Position(landing) <= position
    if position.phase == 0 and timeline.deliveries.is_plain(position.icount):
        assert landing == position.icount


def test_the_fence() -> None:
    assert last_reachable(100, [], reboots=True) == 100
    assert last_reachable(100, [], reboots=True, exited=True) == 99
    assert last_reachable(100, [(100, False)], reboots=True, exited=True) == 99
    assert last_reachable(100, [(90, False), (100, False)], reboots=True) == 90
    assert last_reachable(100, [(50, True), (100, False)], reboots=True) == 100
    assert last_reachable(100, [(50, True), (100, False)], reboots=False) == 50
