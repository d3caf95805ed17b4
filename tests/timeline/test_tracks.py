"""The tracks have what the recording has."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.engine.queries.tracks import Detail, timeline_tracks
from rrdbg.model.timeline.events import EventKind
from rrdbg.model.timeline.line import STOPS
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.tracks import TimelineTracks, TrackKind
from rrdbg.store.clock import read_clock
from rrdbg.store.history import Console, history
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.conftest import record


@pytest.mark.parametrize(("name", "kind"), [("interrupts", EventKind.INTERRUPT), ("exceptions", EventKind.EXCEPTION)])
def test_each_delivery_is_a_mark(travelled: Path, tracks: TimelineTracks, name: str, kind: EventKind) -> None:
    listed = [event.position for event in history(travelled / "replay.bin", {kind})]
    track = tracks.track(name)
    assert track.kind is TrackKind.RATE
    assert [mark.position for mark in track.marks] == listed


def test_snapshots_have_their_cost(travelled: Path, tracks: TimelineTracks) -> None:
    snapshots = load_timeline(Recording.peek(travelled)).snapshots
    marks = tracks.track("snapshots").marks
    assert [(mark.position.icount, mark.value) for mark in marks] == [(item.icount, item.size) for item in snapshots]
    (named,) = (mark for mark in marks if "half" in mark.text)
    assert "B, loads in" in named.text
    assert "load" in named.text


def test_console_lines_bookmarks_and_other_events(travelled: Path, tracks: TimelineTracks) -> None:
    lines = Console.read(travelled / "replay.bin", travelled / "console.log").lines()
    assert [(mark.position, mark.text) for mark in tracks.track("console").marks] == list(lines)
    (bookmark,) = tracks.track("bookmarks").marks
    assert (bookmark.position, bookmark.text) == (Position(tracks.end.icount // 2), "@middle")
    assert tracks.track("shutdowns").marks[0].text == "guest-shutdown"
    assert all(mark.position <= tracks.end for track in tracks.tracks for mark in track.marks)


def test_where_breakpoints_stopped_is_kept_with_the_recording(travelled: Path, tracks: TimelineTracks) -> None:
    """The two stops of an earlier session, by position, each once."""
    stops = tracks.track(STOPS).marks
    kept = load_timeline(Recording.peek(travelled)).marks[STOPS]
    assert [mark.position for mark in stops] == sorted(mark.position for mark in kept)
    assert len(stops) == 2
    assert tracks.end.icount // 2 < stops[0].position.icount < stops[1].position.icount
    assert {mark.text[:14] for mark in stops} == {"breakpoint at "}


def test_times_and_speed_are_the_recordings(travelled: Path, tracks: TimelineTracks) -> None:
    recording = Recording.peek(travelled)
    clock = read_clock(recording.layout.log, recording.manifest.invocation)
    for knot in tracks.knots:
        assert knot.before == clock.elapsed(Position(knot.icount))
        assert knot.after == clock.elapsed(Position(knot.icount, 1))
    assert tracks.speed == load_timeline(recording).cost.pieces
    assert tracks.speed


def test_a_long_recording_has_short_tracks(travelled: Path) -> None:
    recording = Recording.peek(travelled)
    tracks = timeline_tracks(recording, load_timeline(recording), Detail(bare=10, lines=5))
    listed = list(history(recording.layout.log, {EventKind.INTERRUPT}))
    marks = tracks.track("interrupts").marks
    assert 5 < len(marks) <= 10
    assert tracks.track("interrupts").count == len(listed)
    assert (marks[0].position, marks[-1].end) == (listed[0].position, listed[-1].position)
    assert len(tracks.track("console").marks) <= 5


def test_a_console_whose_lines_have_no_place_says_why(workload_guest: Path, tmp_path: Path) -> None:
    directory = record(workload_guest, tmp_path / "two", max_icount=2_000_000)
    (directory / "console.log").write_bytes(b"more than was printed" * 100)
    recording = Recording.peek(directory)
    track = timeline_tracks(recording, load_timeline(recording)).track("console")
    assert not track.marks
    assert "cannot be told" in track.note
