"""``timeline.json``: the snapshots and bookmarks of a recording, replaced as a whole at each change.

A snapshot's files are complete before they are listed, and are deleted only after they are no longer
listed, so that a crash at any moment leaves at worst a file that nobody lists.
"""

from __future__ import annotations

import dataclasses
import json

from rrdbg.errors import RecordingError
from rrdbg.model.position import START, Position
from rrdbg.model.snapshot import Snapshot, SnapshotKind
from rrdbg.model.timeline import Timeline
from rrdbg.store.files import write_atomically
from rrdbg.store.recording import Recording

SCHEMA = 1


def initial_snapshot(recording: Recording) -> Snapshot:
    """The snapshot that QEMU made at icount 0 while recording."""
    layout = recording.layout
    disks = recording.manifest.invocation.disks
    overlays = [layout.disk(index) for index, disk in enumerate(disks) if not disk.read_only]
    files = [layout.initial, *overlays]
    return Snapshot(
        START.icount,
        recording.manifest.initial_tag,
        SnapshotKind.INITIAL,
        tuple(layout.relative(file) for file in files),
        size=sum(file.stat().st_blocks * 512 for file in files),
        sound=True,
    )


def load_timeline(recording: Recording) -> Timeline:
    """The timeline of a recording, with what earlier sessions left.

    :raises RecordingError: the file is damaged or of a newer schema.
    """
    timeline = Timeline(Position(recording.manifest.end), recording.log.deliveries, (initial_snapshot(recording),))
    path = recording.layout.timeline
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] > SCHEMA:
            raise RecordingError(f"{path} was written by a newer rrdbg; update rrdbg to open this recording.")
        snapshots = [
            Snapshot(**item | {"kind": SnapshotKind(item["kind"]), "files": tuple(item["files"])})
            for item in content["snapshots"]
        ]
        bookmarks = {name: Position(*place) for name, place in content["bookmarks"].items()}
    except FileNotFoundError:
        return timeline
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{path} is damaged ({error!r}); delete it to go on without its snapshots and bookmarks."
        ) from None
    for snapshot in snapshots:
        if all((recording.layout.root / name).is_file() for name in snapshot.files):
            timeline = timeline.with_snapshot(snapshot)
    return dataclasses.replace(timeline, bookmarks=bookmarks)


def save_timeline(recording: Recording, timeline: Timeline) -> None:
    """Keep the timeline's snapshots and bookmarks with the recording; a read-only one keeps nothing.

    :raises OSError: the disk is full.
    """
    if not recording.writable:
        return
    content = {
        "schema": SCHEMA,
        "snapshots": [
            dataclasses.asdict(snapshot) for snapshot in timeline.snapshots if snapshot.kind is not SnapshotKind.INITIAL
        ],
        "bookmarks": {name: [place.icount, place.phase] for name, place in timeline.bookmarks.items()},
    }
    write_atomically(recording.layout.timeline, (json.dumps(content, indent=1) + "\n").encode())
