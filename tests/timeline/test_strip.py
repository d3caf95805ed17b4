"""The timeline as one line."""

from __future__ import annotations

import pytest

from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.line import STOPS, Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.render.strip import LEGEND, beside_strips, timeline_strip

TIMELINE = Timeline(
    Position(1000),
    snapshots=(
        Snapshot(0, "a", SnapshotKind.INITIAL, ()),
        Snapshot(500, "b", SnapshotKind.NAMED, ()),
        Snapshot(505, "c", SnapshotKind.PERIODIC, ()),
        Snapshot(800, "d", SnapshotKind.PERIODIC, ()),
    ),
    bookmarks={"x": Bookmark(Position(300)), "end": Bookmark(Position(1000))},
    marks={STOPS: (Mark(Position(200)), Mark(Position(300, 1)), Mark(Position(700)))},
)


def test_it_shows_what_there_is() -> None:
    assert timeline_strip(TIMELINE, Position(100), 28) == "0 |->-*-b---N---*-|--b 1,000"
    assert timeline_strip(TIMELINE, START, 28).startswith("0 >---")


@pytest.mark.parametrize("width", [1, 5, 12, 19, 80, 200])
def test_it_is_never_wider_than_the_terminal(width: int) -> None:
    strip = timeline_strip(TIMELINE, Position(1000), width)
    assert len(strip) == width
    assert strip.removesuffix(" 1,000").endswith(">")
    assert len(LEGEND) < 80


def test_an_empty_recording_has_a_line_too() -> None:
    assert timeline_strip(Timeline(START), START, 20) == "0 >---------------" + " 0"


def test_two_beside_each_other_have_one_scale() -> None:
    ends = [Position(1000), Position(600)]
    assert beside_strips(ends, Position(500), 10) == ["=====x----", "=====x-"]
    assert beside_strips(ends, Position(0), 10) == ["x---------", "x------"]
    assert beside_strips(ends, Position(600), 10) == ["======x---", "======x"]
    assert beside_strips(ends, None, 10) == ["=======---", "======="]
    assert beside_strips([Position(0)] * 2, None, 10) == ["=", "="]
