"""``hits.json``: what scans have found in a recording, so that the same question is answered at once next time.

Losing it costs time only, so a file that is damaged, of another schema or made from another log is left out of account,
and replaced when there is something new to keep.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from rrdbg.errors import RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.hits.index import HitIndex, Known, PointKey
from rrdbg.model.hits.stop import Hit, Point, ValueChange, Watchpoint
from rrdbg.model.timeline.position import Position
from rrdbg.store.files import write_atomically
from rrdbg.store.opening import read_regular
from rrdbg.store.recording import Recording

SCHEMA = 2
"""To be raised also when scans find something else than before in the same recording."""

_MOST_BYTES = 64 << 20
_LONGEST = 1 << 16
_MOST = (1 << 64) - 1

_log = logging.getLogger(__name__)


def load_hits(recording: Recording) -> HitIndex:
    """What earlier sessions have found in ``recording``, here; nothing if it is no directory of ours.

    What others have found would be answers that nobody here can vouch for: it is found anew.
    """
    identity, path = _identity(recording), recording.layout.hits
    recording.hits_file.note()
    if identity is None:
        return HitIndex()
    try:
        data = read_regular(path, _MOST_BYTES)
        if not recording.believes(data):
            _log.warning("%s was not written here, and is not used.", path)
            return HitIndex()
        content = Document.parse(data)
        if content["schema"].integer() != SCHEMA or content["log"].text() != identity:
            _log.warning("%s is of another rrdbg or another recording, and is not used.", path)
            return HitIndex()
        return HitIndex(dict(map(_point, content["points"].values())))
    except FileNotFoundError:
        return HitIndex()
    except (OSError, RecordingError, DocumentError) as error:
        _log.warning("%s is damaged (%s), and is not used.", path, error)
        return HitIndex()


def are_foreign(recording: Recording) -> bool:
    """Whether ``recording`` has hits that were not found here, which are used for nothing.

    :raises RecordingError: they are in no regular file.
    """
    try:
        return not recording.believes(read_regular(recording.layout.hits, _MOST_BYTES))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RecordingError(f"Cannot read {recording.layout.hits}: {error.strerror}.") from None


def save_hits(recording: Recording, index: HitIndex) -> HitIndex:
    """Keep ``index`` with the recording, unless that is read-only or no directory of ours.

    What other sessions have found since is kept, too, and both together are given.

    :raises OSError: the disk is full.
    """
    identity = _identity(recording)
    if identity is None or not recording.writable:
        return index
    with recording.turn():
        index = renewed_hits(recording, index)
        lines = ",\n  ".join(json.dumps(_entry(key, known)) for key, known in index.points.items())
        head = f'{{"schema": {SCHEMA}, "log": {json.dumps(identity)},\n "points": [\n  '
        write_atomically(recording.layout.hits, recording.marked(f"{head}{lines}\n ]".encode()))
        recording.hits_file.note()
    return index


def renewed_hits(recording: Recording, index: HitIndex) -> HitIndex:
    """``index``, and what other sessions have found since this one last read or wrote; quick if they have not."""
    if not (recording.writable and recording.hits_file.changed):
        return index
    return index.joined(load_hits(recording))


def _identity(recording: Recording) -> str | None:
    """The checksum of the log, which says which recording this is."""
    return recording.manifest.checksums.get(recording.layout.relative(recording.layout.log))


def _entry(key: PointKey, known: Known) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "address": key.address,
        "length": key.length,
        "covered": [[low.icount, low.phase, high.icount, high.phase] for low, high in known.covered],
        "hits": [_hit(hit) for hit in known.hits],
    }


def _hit(hit: Hit) -> list[object]:
    """Position, pc, address space, and then what most hits do not have: values before and after, and if it is exact.

    Of a hit that is not judged there is no value before, but null.
    """
    values: list[object] = []
    if hit.change or not hit.judged:
        before = hit.change.before.hex() if hit.change and hit.judged else None
        values = [before, hit.change.after.hex() if hit.change else None]
    where: list[object] = [hit.position.icount, hit.position.phase, hit.pc, hit.space, *values]
    return where if hit.exact else [*where, False]


def _point(entry: Document) -> tuple[PointKey, Known]:
    key = PointKey(entry["kind"].text(16), entry["address"].integer(0, _MOST), entry["length"].integer(0, _LONGEST))
    try:
        point = key.point()
    except ValueError as error:
        raise DocumentError(str(error)) from None
    covered = tuple(_stretch(item) for item in entry["covered"].values())
    hits = tuple(_read_hit(point, item) for item in entry["hits"].values())
    if list(covered) != sorted(covered) or list(hits) != sorted(hits, key=lambda hit: hit.position):
        raise DocumentError(f"{entry.place} is not in order")
    return key, Known(covered, hits)


def _stretch(item: Document) -> tuple[Position, Position]:
    low, low_phase, high, high_phase = (value.integer() for value in item.values(4, 4))
    return Position(low, low_phase), Position(high, high_phase)


def _read_hit(point: Point, item: Document) -> Hit:
    icount, phase, pc, root, *rest = item.values(4, 7)
    vague = bool(rest) and rest[-1].is_false()
    values = rest[:-1] if vague else rest
    if len(values) not in (0, 2):
        raise DocumentError(f"{item.place} has one value, not two or none")
    judged = not (values and values[0].is_null())
    change = None
    if values and not (values[1].is_null() and not judged):
        change = ValueChange(_bytes(values[0]) if judged else b"", _bytes(values[1]))
    if not judged and (vague or not isinstance(point, Watchpoint)):
        raise DocumentError(f"{item.place} is not judged, though nothing was to be judged")
    space = None if root.is_null() else root.integer(0, _MOST)
    position = Position(icount.integer(), phase.integer())
    return Hit(position, pc.integer(0, _MOST), point, change, not vague, space, judged)


def _bytes(value: Document) -> bytes:
    try:
        return bytes.fromhex(value.text())
    except ValueError:
        raise DocumentError(f"{value.place} is not in hexadecimal digits") from None
