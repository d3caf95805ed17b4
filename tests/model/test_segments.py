"""How a scan is cut, and how the hits of its segments become those of a single pass; without any QEMU."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.hits.stop import Hit, NotedHit, WatchKind, Watchpoint, value_change
from rrdbg.model.timeline.cost import CostMap, Piece
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.segments import LEAST_SECONDS, OVERLAP, Carried, Opening, split

END = 1_000_000


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    ambiguous = draw(st.lists(st.integers(1, END - 1), max_size=20, unique=True))
    deliveries = Deliveries.of((icount, Delivery.INTERRUPT) for icount in sorted(ambiguous))
    middle = draw(st.integers(1, END - 1))
    cost = CostMap((Piece(0, middle, draw(st.floats(0.1, 30))), Piece(middle, END, draw(st.floats(0.1, 30)))))
    timeline = Timeline(Position(END), deliveries, (_snapshot(0, None),), cost=cost)
    for icount in draw(st.sets(st.integers(1, END), max_size=30)):
        if deliveries.is_plain(icount):
            timeline = timeline.with_snapshot(_snapshot(icount, draw(st.sampled_from([None, True, False]))))
    return timeline


def _snapshot(icount: int, sound: bool | None) -> Snapshot:
    kind = SnapshotKind.PERIODIC if icount else SnapshotKind.INITIAL
    return Snapshot(icount, f"rrdbg-{icount}", kind, (), sound=sound)


@given(timelines(), st.integers(0, END), st.integers(0, END), st.integers(1, 8))
def test_segments_abut_and_begin_where_a_machine_can(timeline: Timeline, low: int, high: int, jobs: int) -> None:
    start, end = sorted((Position(low), Position(high)))
    segments = split(timeline, start, end, jobs)
    assert segments[0].start == start
    assert segments[-1].end == end
    for before, after in itertools.pairwise(segments):
        assert before.end == after.start == Position(after.snapshot.icount)
    for segment in segments:
        assert segment.snapshot.sound is not False
        assert segment.snapshot.icount <= timeline.landing_before(segment.start)
    for segment in segments[:-1]:
        assert timeline.cost.seconds(segment.start.icount, segment.end.icount) >= LEAST_SECONDS
        assert end.icount - segment.end.icount > OVERLAP
    if jobs == 1:
        assert len(segments) == 1


@given(st.integers(2, 8))
def test_a_long_scan_keeps_all_jobs_busy(jobs: int) -> None:
    timeline = Timeline(Position(END), cost=CostMap((Piece(0, END, 100.0),)))
    for icount in range(0, END, END // 200):
        timeline = timeline.with_snapshot(_snapshot(icount, None))
    seconds = [
        timeline.cost.seconds(segment.start.icount, segment.end.icount)
        for segment in split(timeline, Position(0), Position(END), jobs)
    ]
    assert len(seconds) >= 2 * jobs
    assert max(seconds) < 1.5 * min(seconds[:-1])


Event = tuple[bool, bytes | None]
"""At one stop: whether QEMU reports this watchpoint, and what its bytes are then (None: not mapped)."""

_events = st.lists(st.tuples(st.booleans(), st.none() | st.sampled_from([b"a", b"b", b"c"])), max_size=30)
_POINT = Watchpoint(1, 0x1000, 1)


def _single_pass(first: bytes | None, events: Sequence[Event]) -> list[Hit]:
    """What one scan says, by its own rule (rrdbg.engine.search.scan)."""
    found, before = [], first
    for place, (reported, value) in enumerate(events, 1):
        if not (value == before or (None in (value, before) and not reported)):
            found.append(Hit(Position(place), 0, _POINT, value_change(before, value)))
        before = value
    return found


@given(st.none() | st.just(b"a"), _events, st.sets(st.integers(0, 30)))
def test_what_is_carried_on_makes_the_hits_of_a_single_pass(
    first: bytes | None, events: list[Event], cuts: set[int]
) -> None:
    carried = Carried({1: first})
    settled: list[Hit] = []
    edges = [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]
    for low, high in itertools.pairwise(edges):
        part = events[low:high]
        if not part:
            continue
        reported, value = part[0]
        place = Position(low + 1)
        found: list[Hit] = [NotedHit(place, 0, _POINT, note=Opening(value, reported))]
        for hit in _single_pass(value, part[1:]):
            found.append(Hit(Position(hit.position.icount + low + 1), 0, _POINT, hit.change))
        settled += [result for each in found if (result := carried.settled(each))]
        carried.after({1: part[-1][1]})
    assert settled == _single_pass(first, events)


def test_what_was_not_found_out_is_asked_for_only_where_it_matters() -> None:
    hit = NotedHit(Position(5), 0, _POINT, note=Opening(b"a", None))
    assert not Carried({1: b"b"}).asks(hit)
    assert Carried({1: b"b"}).settled(hit) == Hit(Position(5), 0, _POINT, value_change(b"b", b"a"))
    unknown = Carried({1: None})
    assert unknown.asks(hit)
    assert unknown.settled(hit, reported=False) is None
    assert unknown.settled(hit, reported=True) == Hit(Position(5), 0, _POINT)


def test_an_access_is_a_hit_whatever_the_bytes_are() -> None:
    point = Watchpoint(2, 0x1000, 1, WatchKind.READ)
    hit = NotedHit(Position(5), 0, point, note=Opening(b"a", reported=True))
    assert Carried({2: b"a"}).settled(hit) == Hit(Position(5), 0, point, value_change(b"a", b"a"))
    assert Carried({2: None}).settled(hit) == Hit(Position(5), 0, point)
