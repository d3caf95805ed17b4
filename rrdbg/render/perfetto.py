"""The timeline as a trace for ui.perfetto.dev, on the guest's clock.

Needs the package ``perfetto`` (``pip install 'rrdbg[perfetto]'``), whose protobuf classes write the format:
perfetto.dev/docs/reference/synthetic-track-event. Timestamps are nanoseconds since the start of the recording; a
clock snapshot tells which time of day that was in the guest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rrdbg.errors import UsageError
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.tracks import TimelineTracks, Track, TrackKind

STEPS = 2_000
"""Stretches of the timeline for each of which a counter says how many there are."""

_SEQUENCE = 1
_ROOT = 1


def perfetto_trace(tracks: TimelineTracks) -> bytes:
    """The whole trace.

    :raises UsageError: the package is missing.
    """
    try:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2
    except ModuleNotFoundError:
        raise UsageError(
            "Writing a trace for Perfetto needs the Python package 'perfetto'; install it with: "
            "pip install 'rrdbg[perfetto]'"
        ) from None
    return _Writer(tracks, perfetto_trace_pb2).written()


class _Writer:
    """Writes one trace; ``proto`` is the module with the format's classes."""

    def __init__(self, tracks: TimelineTracks, proto: Any) -> None:
        self._tracks = tracks
        self._proto = proto
        self._trace = proto.Trace()
        self._rows = 0

    def written(self) -> bytes:
        """The trace's bytes."""
        self._clocks()
        self._row(self._tracks.name, parent=0)
        self._position()
        for track in self._tracks.tracks:
            if track.kind is TrackKind.RATE:
                self._rate(track)
            row = self._row(track.name)
            for mark in track.marks:
                self._mark(row, track, mark)
        self._speed()
        return bytes(self._trace.SerializeToString())

    def _clocks(self) -> None:
        clock = self._proto.BuiltinClock
        packet = self._packet()
        packet.sequence_flags = self._proto.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        base = int(self._tracks.base.timestamp() * 10**6) * 1000
        for clock_id, timestamp in ((clock.BUILTIN_CLOCK_BOOTTIME, 0), (clock.BUILTIN_CLOCK_REALTIME, base)):
            packet.clock_snapshot.clocks.add(clock_id=clock_id, timestamp=timestamp)

    def _row(self, name: str, unit: str = "", parent: int = _ROOT) -> int:
        """A new row, a counter if it has a unit; its id."""
        self._rows += 1
        described = self._packet().track_descriptor
        described.uuid = self._rows
        described.name = name
        if parent:
            described.parent_uuid = parent
            described.sibling_order_rank = self._rows
        else:
            described.child_ordering = described.EXPLICIT
        if unit:
            described.counter.unit_name = unit
        return self._rows

    def _position(self) -> None:
        """A counter by which every moment's position can be read off."""
        row = self._row("position", "instructions")
        for knot in self._tracks.knots:
            self._count(row, knot.before, knot.icount)
            if knot.after > knot.before:
                self._count(row, knot.after, knot.icount)

    def _rate(self, track: Track) -> None:
        row = self._row(f"{track.name} per 1M instructions", "per 1M")
        width = max(self._tracks.end.icount // STEPS, 1)
        found: dict[int, int] = {}
        for mark in track.marks:
            step = mark.position.icount // width
            found[step] = found.get(step, 0) + mark.count
        for step in sorted({*found, *(step + 1 for step in found)}):
            time = self._tracks.elapsed(Position(min(step * width, self._tracks.end.icount)))
            self._count(row, time, found.get(step, 0) / width * 1e6)

    def _speed(self) -> None:
        row = self._row("replay speed", "instructions/s")
        end = 0
        for piece in self._tracks.speed:
            if piece.start > end:
                self._count(row, self._tracks.elapsed(Position(end)), 0)
            speed = piece.length / max(piece.seconds, 1e-9)
            self._count(row, self._tracks.elapsed(Position(piece.start)), speed)
            end = piece.end

    def _mark(self, row: int, track: Track, mark: Mark) -> None:
        start, end = self._tracks.elapsed(mark.position), self._tracks.elapsed(mark.end)
        name = mark.text or track.one
        details = {"position": str(mark.position), "command": f"seek {mark.position}"}
        if mark.value is not None:
            details["bytes"] = f"{mark.value:,.0f}"
        if mark.count == 1 and mark.last is None:
            self._event(row, start, "INSTANT", name, details)
        elif mark.count == 1:
            self._event(row, start, "SLICE_BEGIN", name, details)
            self._event(row, end, "SLICE_END")
        else:
            details |= {"count": f"{mark.count:,}", "last": str(mark.end)}
            self._event(row, start, "SLICE_BEGIN", f"{mark.count:,} {track.name}", details)
            self._event(row, end, "SLICE_END")

    def _event(self, row: int, time: int, kind: str, name: str = "", details: Mapping[str, str] | None = None) -> Any:
        packet = self._packet()
        packet.timestamp = time
        event = packet.track_event
        event.type = getattr(event, f"TYPE_{kind}")
        event.track_uuid = row
        if name:
            event.name = name
        for key, value in (details or {}).items():
            event.debug_annotations.add(name=key, string_value=value)
        return event

    def _count(self, row: int, time: int, value: float) -> None:
        self._event(row, time, "COUNTER").double_counter_value = value

    def _packet(self) -> Any:
        return self._trace.packet.add(trusted_packet_sequence_id=_SEQUENCE)
