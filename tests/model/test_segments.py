"""How a scan is cut, and how the hits of its segments become those of a single pass; without any QEMU."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.cost import CostMap, Piece
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.segments import LEAST_SECONDS, OVERLAP, split

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
