"""``timeline.json``: snapshots, bookmarks, marks and measured costs of a recording, replaced as a whole at each change.

A snapshot's files are complete before they are listed, and are deleted only after they are no longer
listed, so that a crash at any moment leaves at worst a file that nobody lists. Whoever opens the recording next
for writing removes those (:func:`clean`).
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rrdbg.errors import HostError, RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.cost import CostMap, Piece, expected_rates
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.files import write_atomically
from rrdbg.store.opening import is_inside, read_regular
from rrdbg.store.recording import Recording, incomplete

SCHEMA = 4
"""2 added costs and digests, 3 notes of bookmarks and marks, 4 the ends of marks; files of older schemas are read as
ones without them.
"""

_OWN_FILE = re.compile(r"snapshots/[\w-]+\.(qcow2|state|pages)", re.ASCII)
_TAG = re.compile(r"[\w. -]{1,128}", re.ASCII)
_MOST_BYTES = 64 << 20

_log = logging.getLogger(__name__)


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
    recording.timeline_file.note()
    try:
        data = read_regular(path, _MOST_BYTES)
        content = Document.parse(data)
        if content["schema"].integer() > SCHEMA:
            raise RecordingError(f"{path} was written by a newer rrdbg; update rrdbg to open this recording.")
        kept = _read(content)
    except FileNotFoundError:
        return timeline
    except DocumentError as error:
        raise RecordingError(
            f"{path} is damaged ({error}); delete it to go on without its snapshots and bookmarks."
        ) from None
    except OSError as error:
        raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None
    if not recording.believes(data):
        _tell_of(kept.snapshots, timeline, recording)
        # Bookmarks are words of whoever made them. All else would be taken for what was found out here.
        return dataclasses.replace(timeline, bookmarks=_places_of(kept.snapshots) | dict(kept.bookmarks))
    lost = []
    for snapshot in kept.snapshots:
        if all(_is_believed(recording, name) for name in snapshot.files):
            timeline = timeline.with_snapshot(snapshot)
        else:
            lost.append(snapshot)
    _tell_of(lost, timeline, recording)
    cost = CostMap(kept.pieces, timeline.cost.profile, rates)
    bookmarks = _places_of(lost) | dict(kept.bookmarks)
    return dataclasses.replace(timeline, bookmarks=bookmarks, cost=cost, marks=kept.marks)


def _written(mark: Mark) -> list[object]:
    place = mark.position
    return [place.icount, place.phase, mark.text, *([mark.last.icount, mark.last.phase] if mark.last else [])]


def _tell_of(lost: Sequence[Snapshot], timeline: Timeline, recording: Recording) -> None:
    """Say it to who will miss them.

    What no timeline names, as a session leaves that was killed, nobody does, nor the one that is laid at once.
    """
    missed = sum(known.icount > timeline.deliveries.plain_after(0) for known in lost)
    if missed and recording.first:
        made, again = ("was", "is made again when it is") if missed == 1 else ("were", "are made again as they are")
        _log.warning(
            "%d of the snapshots in %s %s not made here, and %s needed.", missed, recording.layout.root, made, again
        )


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the file holds."""

    snapshots: Sequence[Snapshot]
    bookmarks: Mapping[str, Bookmark]
    marks: Mapping[str, tuple[Mark, ...]]
    pieces: tuple[Piece, ...]


def _read(content: Document) -> _Kept:
    marks = content.get("marks")
    cost = content.get("cost")
    return _Kept(
        [_snapshot(item) for item in content["snapshots"].values()],
        {_name(name): _bookmark(item) for name, item in content["bookmarks"].items()},
        {name: tuple(map(_mark, items.values())) for name, items in marks.items()} if marks else {},
        tuple(map(_piece, cost.values())) if cost else (),
    )


def _snapshot(item: Document) -> Snapshot:
    files = tuple(name.text() for name in item["files"].values(1, 1000))
    for file in files:
        if not _OWN_FILE.fullmatch(file):
            raise DocumentError(f"{file!r} is no file of this recording's snapshots")
    tag = item["tag"].text()
    if not _TAG.fullmatch(tag):
        raise DocumentError(f"{tag!r} is no snapshot's tag")
    try:
        kind = SnapshotKind(item["kind"].text())
    except ValueError as error:
        raise DocumentError(str(error)) from None
    size, seconds, sound = item.get("size"), item.get("load_seconds"), item.get("sound")
    name, digest = item.get("name"), item.get("digest")
    return Snapshot(
        item["icount"].integer(), tag, kind, files,
        size=size.integer() if size else 0,
        load_seconds=seconds.number() if seconds else None,
        sound=sound.flag() if sound else None,
        name=_name(name.text()) if name else None,
        digest=digest.text(256) if digest else None,
    )  # fmt: skip


def _bookmark(item: Document) -> Bookmark:
    icount, phase, *note = item.values(2, 3)
    return Bookmark(Position(icount.integer(), phase.integer()), *(text.text() for text in note))


def _mark(item: Document) -> Mark:
    icount, phase, text, *last = item.values(3, 5)
    end = Position(*(part.integer() for part in last)) if last else None
    return Mark(Position(icount.integer(), phase.integer()), text.text(), last=end)


def _piece(item: Document) -> Piece:
    low, high, took = item.values(3, 3)
    start = low.integer()
    return Piece(start, high.integer(start + 1), took.number())


def _name(text: str) -> str:
    if not text or len(text) > 256:
        raise DocumentError("a name is empty, or longer than 256 characters")
    return text


def _places_of(snapshots: Iterable[Snapshot]) -> dict[str, Bookmark]:
    """Where the user's own among ``snapshots`` are, which are not there, by their names."""
    return {item.name: Bookmark(Position(item.icount), "of a snapshot") for item in snapshots if item.name}


def _is_believed(recording: Recording, name: str) -> bool:
    needs = (name,) if not name.endswith(".pages") else (name, "ram/pages.bin", "ram/pages.sum")
    return all(map(recording.has_made, needs)) and is_inside(recording.layout.root, name)


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
        "marks": {name: [_written(mark) for mark in marks] for name, marks in timeline.marks.items()},
        "cost": [[piece.start, piece.end, round(piece.seconds, 6)] for piece in timeline.cost.pieces],
    }
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    try:
        # First the seal: who is killed in between has files that nobody lists, and none that are not believed.
        with recording.turn():
            recording.note()
            write_atomically(recording.layout.timeline, recording.marked(("{" + ",\n ".join(lines)).encode()))
            recording.timeline_file.note()
    except OSError as error:
        raise HostError.of(error, "Cannot keep the snapshots, bookmarks and marks of now") from None


def unlink_snapshot(recording: Recording, snapshot: Snapshot) -> None:
    """Delete the files of a snapshot that the saved timeline no longer lists."""
    for name in snapshot.files:
        (recording.layout.root / name).unlink(missing_ok=True)


def clean(recording: Recording, timeline: Timeline) -> Timeline:
    """The timeline without an earlier session's temporary snapshots; also deletes files that nobody lists.

    That is what a session leaves that was killed. Nothing is touched unless we hold the recording's lock, and nobody
    works beside us.

    :raises HostError: the directory cannot be written.
    """
    recording.remove_strange()
    if not recording.first:
        return timeline
    with recording.others_absent() as alone:
        return _cleaned(recording, timeline) if alone else timeline


def _cleaned(recording: Recording, timeline: Timeline) -> Timeline:
    layout = recording.layout
    kept = tuple(snapshot for snapshot in timeline.snapshots if snapshot.kind is not SnapshotKind.LADDER)
    if len(kept) < len(timeline.snapshots):
        timeline = dataclasses.replace(timeline, snapshots=kept)
        save_timeline(recording, timeline)
    listed = {layout.initial, *(layout.root / name for snapshot in kept for name in snapshot.files)}
    for file in layout.snapshots.iterdir():
        if file not in listed:
            file.unlink()
    for file in (layout.timeline, layout.hits, layout.linux, layout.kernel_symbols, layout.switches):
        for draft in layout.root.glob(f".{file.name}.*"):
            draft.unlink()
    return timeline
