"""What there is to say about a recording as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.model.results import RecordingInfo
from rrdbg.model.timeline.line import Timeline
from rrdbg.store.recording import Recording


def recording_facts(recording: Recording, timeline: Timeline, confinement: Sequence[str]) -> RecordingInfo:
    """The facts that ``info recording`` and ``rrdbg info`` show; ``confinement`` is that of a QEMU that replays it."""
    manifest = recording.manifest
    return RecordingInfo(
        recording.name,
        {
            "directory": str(recording.layout.root),
            "origin": "made here, or trusted" if recording.own else "made elsewhere",
            "confinement": "; ".join(confinement),
            "created": f"{manifest.created} UTC",
            "qemu": f"{manifest.invocation.binary} {manifest.qemu_version}",
            "command": list(manifest.command),
            **({"begins_in": manifest.begins_in} if manifest.begins_in else {}),
            "shift": manifest.invocation.shift,
            "instructions": manifest.icount,
            "end": str(timeline.end),
            "ended": manifest.ended,
            "seconds": manifest.seconds,
            "log_bytes": recording.log.size_bytes,
            "interrupts_and_exceptions": len(recording.log.deliveries),
            "snapshots": len(timeline.snapshots),
            "snapshots_proved": sum(bool(snapshot.sound) for snapshot in timeline.snapshots),
            "snapshot_bytes": sum(snapshot.size for snapshot in timeline.snapshots),
            "replay_seconds": round(timeline.cost.seconds(0, timeline.end.icount), 2),
            "replay_measured_share": round(timeline.cost.measured / max(timeline.end.icount, 1), 3),
            "bookmarks": len(timeline.bookmarks),
            "initial_snapshot": manifest.initial_tag,
        },
    )
