"""The page as text: whole, small, and safe whatever a guest prints."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.queries.tracks import SMALL
from rrdbg.frontends.cli.main import main
from rrdbg.model.timeline.cost import Piece
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.tracks import KNOTS, ClockKnot, TimelineTracks, Track, TrackKind
from rrdbg.render.page import SIGNATURE, timeline_page


def picture(*tracks: Track, name: str = "guest") -> TimelineTracks:
    base = datetime(2026, 11, 22, 10, tzinfo=UTC)
    knots = (ClockKnot(0, 0, 0), ClockKnot(1000, 8000, 8000))
    return TimelineTracks(name, Position(1000), base, True, knots, tracks, (), ("QEMU",))


def data_in(page: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match
    content: dict[str, Any] = json.loads(match[1])
    return content


def test_nothing_in_the_data_can_be_taken_for_markup() -> None:
    evil = "</script><script>alert(1)</script><!-- {{script}}"
    track = Track("console", "line", TrackKind.MARKS, (Mark(Position(1), evil),))
    page = timeline_page(picture(track, name=evil))
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 2
    (shown,) = data_in(page)["tracks"]
    assert shown["text"] == [evil]


def test_the_page_needs_nothing_else(tracks: TimelineTracks) -> None:
    page = timeline_page(tracks)
    assert page.startswith(SIGNATURE)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|\bsrc=|<link|@import|url\(", page)
    assert data_in(page)["name"] == "travelled"


def test_columns_without_news_are_left_out() -> None:
    marks = (Mark(Position(10)), Mark(Position(15, 1)), Mark(Position(15, 2), count=3, last=Position(18)))
    (shown,) = data_in(timeline_page(picture(Track("interrupts", "interrupt", TrackKind.RATE, marks))))["tracks"]
    assert shown["at"] == [10, 5, 0]
    assert shown["phase"] == [0, 1, 2]
    assert shown["more"] == [0, 0, 2]
    assert shown["span"] == [0, 0, 3]
    assert not shown.keys() & {"text", "value"}


def test_the_largest_page_is_below_three_megabytes() -> None:
    """All tracks at their limits, all counts large, on a recording of 10^13 instructions."""
    end = 10**13

    def track(name: str, kind: TrackKind, most: int, text: str) -> Track:
        step = end // most
        marks = [
            Mark(Position(step * index + 12345), text, count=54321, last=Position(step * index + 98765432))
            for index in range(most)
        ]
        return Track(name, name, kind, marks)

    bare = [track(name, TrackKind.RATE, SMALL.bare, "") for name in ("interrupts", "exceptions")]
    worded = [track(f"kind {number}", TrackKind.MARKS, SMALL.worded, "x" * 60) for number in range(9)]
    lines = track("console", TrackKind.MARKS, SMALL.lines, "[   12.345678] " + "y" * 45)
    knots = [ClockKnot(end // KNOTS * index, 10**12 * index, 10**12 * index + 99) for index in range(KNOTS)]
    speed = [Piece(end // 2000 * index, end // 2000 * (index + 1), 0.123456) for index in range(2000)]
    full = replace(picture(*bare, *worded, lines), end=Position(end), knots=knots, speed=speed)
    assert len(timeline_page(full).encode()) < 3_000_000


def test_the_command_writes_the_page(
    travelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "travelled-timeline.html"
    assert main(("timeline", str(travelled))) == 0
    assert capsys.readouterr().out.startswith("The timeline of travelled is travelled-timeline.html (")
    first = page.read_text()
    assert data_in(first)["name"] == "travelled"
    # An earlier page is replaced; what is something else is not, unless it is named.
    assert main(("timeline", str(travelled))) == 0
    page.write_text("my notes")
    assert main(("timeline", str(travelled))) == 2
    assert "travelled-timeline.html exists already and is no timeline" in capsys.readouterr().err
    assert page.read_text() == "my notes"
    assert main(("timeline", str(travelled), "-o", str(page))) == 0
    assert page.read_text() == first
    assert main(("timeline", str(travelled), "-o", str(tmp_path / "missing" / "page.html"))) == 1
    assert "missing" in capsys.readouterr().err
