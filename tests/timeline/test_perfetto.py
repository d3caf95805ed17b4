"""The trace for Perfetto, read back with the format's own classes."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import BuiltinClock, Trace, TrackEvent

from rrdbg.frontends.cli.main import main
from rrdbg.model.timeline.mark import gather
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.tracks import TimelineTracks, TrackKind
from rrdbg.render.perfetto import perfetto_trace
from rrdbg.store.clock import read_clock
from rrdbg.store.recording import Recording


def read(content: bytes) -> tuple[Any, dict[str, list[tuple[int, Any]]]]:
    """The first packet, and the (time, event) pairs of each row."""
    trace = Trace.FromString(content)
    names = {
        packet.track_descriptor.uuid: packet.track_descriptor.name
        for packet in trace.packet
        if packet.HasField("track_descriptor")
    }
    rows = defaultdict(list)
    for packet in trace.packet:
        assert packet.trusted_packet_sequence_id
        if packet.HasField("track_event"):
            rows[names[packet.track_event.track_uuid]].append((packet.timestamp, packet.track_event))
    return trace.packet[0], rows


def test_each_mark_is_an_event_at_the_guests_time(travelled: Path, tracks: TimelineTracks) -> None:
    recording = Recording.peek(travelled)
    clock = read_clock(recording.layout.log, recording.manifest.invocation)
    _, rows = read(perfetto_trace(tracks))
    for track in tracks.tracks:
        found = rows[track.name]
        assert [time for time, _ in found] == [clock.elapsed(mark.position) for mark in track.marks]
        assert [event.name for _, event in found] == [mark.text or track.one for mark in track.marks]
        assert {event.type for _, event in found} <= {TrackEvent.TYPE_INSTANT}
        for (_, event), mark in zip(found, track.marks, strict=True):
            details = {item.name: item.string_value for item in event.debug_annotations}
            assert details["command"] == f"seek {mark.position}"
            assert details.get("bytes") == (None if mark.value is None else f"{mark.value:,.0f}")


def test_the_rows_are_in_the_pages_order_below_the_recording(tracks: TimelineTracks) -> None:
    trace = Trace.FromString(perfetto_trace(tracks))
    root, *rows = [packet.track_descriptor for packet in trace.packet if packet.HasField("track_descriptor")]
    assert (root.name, root.child_ordering) == ("travelled", root.EXPLICIT)
    assert {row.parent_uuid for row in rows} == {root.uuid}
    names = [row.name for row in sorted(rows, key=lambda row: row.sibling_order_rank)]
    assert [name for name in names if "per 1M" not in name] == [
        "position", *(track.name for track in tracks.tracks), "replay speed",
    ]  # fmt: skip


def test_the_counters_are_the_recordings(tracks: TimelineTracks) -> None:
    first, rows = read(perfetto_trace(tracks))
    clocks = {clock.clock_id: clock.timestamp for clock in first.clock_snapshot.clocks}
    assert clocks[BuiltinClock.BUILTIN_CLOCK_BOOTTIME] == 0
    assert clocks[BuiltinClock.BUILTIN_CLOCK_REALTIME] == int(tracks.base.timestamp()) * 10**9
    positions = [(time, event.double_counter_value) for time, event in rows["position"]]
    assert positions[0] == (0, 0)
    assert positions[-1] == (tracks.elapsed(tracks.end), tracks.end.icount)
    assert positions == sorted(positions)
    speeds = [event.double_counter_value for _, event in rows["replay speed"] if event.double_counter_value]
    assert speeds == [pytest.approx(piece.length / piece.seconds) for piece in tracks.speed]
    rates = rows["interrupts per 1M instructions"]
    assert [time for time, _ in rates] == sorted(time for time, _ in rates)
    width = tracks.end.icount // 2000
    total = sum(event.double_counter_value for _, event in rates) * width / 1e6
    assert total == pytest.approx(tracks.track("interrupts").count)


def test_gathered_marks_are_slices(tracks: TimelineTracks) -> None:
    interrupts = tracks.track("interrupts")
    few = replace(interrupts, marks=gather(interrupts.marks, 8, tracks.end))
    _, rows = read(perfetto_trace(replace(tracks, tracks=[few])))
    slices = [mark for mark in few.marks if mark.count > 1]
    begun = [(time, event.name) for time, event in rows["interrupts"] if event.type == TrackEvent.TYPE_SLICE_BEGIN]
    ended = [time for time, event in rows["interrupts"] if event.type == TrackEvent.TYPE_SLICE_END]
    assert begun == [(tracks.elapsed(mark.position), f"{mark.count:,} interrupts") for mark in slices]
    assert ended == [tracks.elapsed(mark.end) for mark in slices]
    assert slices


def test_the_command_writes_a_trace_and_only_that(
    travelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(("timeline", str(travelled), "--perfetto", "trace.pftrace")) == 0
    assert "open it in https://ui.perfetto.dev" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["trace.pftrace"]
    assert read((tmp_path / "trace.pftrace").read_bytes())[1]["bookmarks"]
    assert main(("timeline", str(travelled), "--perfetto", "other.pftrace", "-o", "page.html")) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"trace.pftrace", "other.pftrace", "page.html"}


def test_without_the_package_it_says_what_to_install(
    travelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("perfetto", "perfetto.protos.perfetto.trace"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(("timeline", str(travelled), "--perfetto", str(tmp_path / "trace"))) == 2
    assert "install it with: pip install 'rrdbg[perfetto]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_times_are_the_clocks_between_the_knots_too(travelled: Path, tracks: TimelineTracks) -> None:
    recording = Recording.peek(travelled)
    clock = read_clock(recording.layout.log, recording.manifest.invocation)
    for icount in range(0, tracks.end.icount, 99_991):
        assert tracks.elapsed(Position(icount)) == clock.elapsed(Position(icount))
    assert {track.kind for track in tracks.tracks} == set(TrackKind)
