"""``timeline.json``: snapshots, bookmarks, marks and measured costs of a recording, replaced as a whole at each change.

A snapshot's files are complete before they are listed, and are deleted only after they are no longer
listed, so that a crash at any moment leaves at worst a file that nobody lists. Whoever opens the recording next
for writing removes those (:func:`clean`).
"""

from __future__ import annotations

import dataclasses
import json
import re

from rrdbg.errors import HostError, RecordingError
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.cost import CostMap, Piece, expected_rates
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.files import write_atomically
from rrdbg.store.recording import Recording, incomplete

SCHEMA = 3
"""2 added costs and digests, 3 notes of bookmarks and marks; files of older schemas are read as ones without them."""

_OWN_FILE = re.compile(r"snapshots/[\w-]+\.(qcow2|state|pages)", re.ASCII)


def initial_snapshot(recording: Recording) -> Snapshot:
    """The snapshot that QEMU made at icount 0 while recording.

    :raises RecordingError: it is not there.
    """
    layout = recording.layout
    disks = recording.manifest.invocation.disks
    overlays = [layout.disk(index) for index, disk in enumerate(disks) if not (disk.read_only or disk.in_place)]
    files = [layout.initial, *overlays]
    try:
        size = sum(file.stat().st_blocks * 512 for file in files)
    except FileNotFoundError as error:
        raise incomplete(error.filename) from None
    return Snapshot(
        START.icount,
        recording.manifest.initial_tag,
        SnapshotKind.INITIAL,
        tuple(layout.relative(file) for file in files),
        size=size,
        sound=True,
    )


def load_timeline(recording: Recording) -> Timeline:
    """The timeline of a recording, with what earlier sessions left.

    :raises RecordingError: the file is damaged or of a newer schema.
    """
    manifest = recording.manifest
    rates = expected_rates(manifest.icount, recording.log.size_bytes, manifest.cpu_seconds or manifest.seconds)
    cost = CostMap((), recording.log.profile, rates)
    timeline = Timeline(Position(manifest.end), recording.log.deliveries, (initial_snapshot(recording),), cost=cost)
    path = recording.layout.timeline
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] > SCHEMA:
            raise RecordingError(f"{path} was written by a newer rrdbg; update rrdbg to open this recording.")
        snapshots = [
            Snapshot(**item | {"kind": SnapshotKind(item["kind"]), "files": tuple(item["files"])})
            for item in content["snapshots"]
        ]
        bookmarks = {
            name: Bookmark(Position(icount, phase), *note)
            for name, (icount, phase, *note) in content["bookmarks"].items()
        }
        marks = {
            str(name): tuple(Mark(Position(int(icount), int(phase)), str(text)) for icount, phase, text in items)
            for name, items in content.get("marks", {}).items()
        }
        pieces = tuple(Piece(int(low), int(high), float(took)) for low, high, took in content.get("cost", ()))
        cost = CostMap(pieces, timeline.cost.profile, rates)
    except FileNotFoundError:
        return timeline
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{path} is damaged ({error!r}); delete it to go on without its snapshots and bookmarks."
        ) from None
    for snapshot in snapshots:
        if not all(_OWN_FILE.fullmatch(name) for name in snapshot.files):
            raise RecordingError(f"{path} is damaged: {snapshot.files} are no files of this recording's snapshots.")
        if all((recording.layout.root / name).is_file() for name in snapshot.files):
            timeline = timeline.with_snapshot(snapshot)
    return dataclasses.replace(timeline, bookmarks=bookmarks, cost=cost, marks=marks)


def save_timeline(recording: Recording, timeline: Timeline) -> None:
    """Keep the timeline's snapshots, bookmarks, marks and costs with the recording; a read-only one keeps nothing.

    :raises HostError: the disk is full; the file is as it was.
    """
    if not recording.writable:
        return
    content = {
        "schema": SCHEMA,
        "snapshots": [
            dataclasses.asdict(snapshot) for snapshot in timeline.snapshots if snapshot.kind is not SnapshotKind.INITIAL
        ],
        "bookmarks": {
            name: [bookmark.position.icount, bookmark.position.phase, bookmark.note]
            for name, bookmark in timeline.bookmarks.items()
        },
        "marks": {
            name: [[mark.position.icount, mark.position.phase, mark.text] for mark in marks]
            for name, marks in timeline.marks.items()
        },
        "cost": [[piece.start, piece.end, round(piece.seconds, 6)] for piece in timeline.cost.pieces],
    }
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    try:
        write_atomically(recording.layout.timeline, ("{" + ",\n ".join(lines) + "}\n").encode())
    except OSError as error:
        raise HostError.of(error, "Cannot keep the snapshots, bookmarks and marks of now") from None


def unlink_snapshot(recording: Recording, snapshot: Snapshot) -> None:
    """Delete the files of a snapshot that the saved timeline no longer lists."""
    for name in snapshot.files:
        (recording.layout.root / name).unlink(missing_ok=True)


def clean(recording: Recording, timeline: Timeline) -> Timeline:
    """The timeline without an earlier session's temporary snapshots; also deletes files that nobody lists.

    That is what a session leaves that was killed. Nothing is touched unless we hold the recording's lock.

    :raises HostError: the directory cannot be written.
    """
    if not recording.writable:
        return timeline
    layout = recording.layout
    kept = tuple(snapshot for snapshot in timeline.snapshots if snapshot.kind is not SnapshotKind.LADDER)
    if len(kept) < len(timeline.snapshots):
        timeline = dataclasses.replace(timeline, snapshots=kept)
        save_timeline(recording, timeline)
    listed = {layout.root / name for snapshot in kept for name in snapshot.files}
    for file in layout.snapshots.iterdir():
        if file not in listed:
            file.unlink()
    for file in (layout.timeline, layout.hits):
        for draft in layout.root.glob(f".{file.name}.*"):
            draft.unlink()
    return timeline
