"""``hits.json``: what scans have found in a recording, so that the same question is answered at once next time.

Losing it costs time only, so a file that is damaged, of another schema or made from another log is left out of account,
and replaced when there is something new to keep.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from rrdbg.model.hits.index import HitIndex, Known, PointKey
from rrdbg.model.hits.stop import Hit, Point, ValueChange
from rrdbg.model.timeline.position import Position
from rrdbg.store.files import write_atomically
from rrdbg.store.recording import Recording

SCHEMA = 1
"""To be raised also when scans find something else than before in the same recording."""

_log = logging.getLogger(__name__)


def load_hits(recording: Recording) -> HitIndex:
    """What earlier sessions have found in ``recording``; nothing if it is no directory of ours."""
    identity, path = _identity(recording), recording.layout.hits
    if identity is None:
        return HitIndex()
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA or content["log"] != identity:
            _log.warning("%s is of another rrdbg or another recording, and is not used.", path)
            return HitIndex()
        return HitIndex(dict(map(_point, content["points"])))
    except FileNotFoundError:
        return HitIndex()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s is damaged (%r), and is not used.", path, error)
        return HitIndex()


def save_hits(recording: Recording, index: HitIndex) -> None:
    """Keep ``index`` with the recording, unless that is read-only or no directory of ours.

    :raises OSError: the disk is full.
    """
    identity = _identity(recording)
    if identity is None or not recording.writable:
        return
    lines = ",\n  ".join(json.dumps(_entry(key, known)) for key, known in index.points.items())
    head = f'{{"schema": {SCHEMA}, "log": {json.dumps(identity)},\n "points": [\n  '
    write_atomically(recording.layout.hits, f"{head}{lines}\n ]}}\n".encode())


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
    """Position, pc, and then what most hits do not have: values before and after, and whether it is exact."""
    values = [hit.change.before.hex(), hit.change.after.hex()] if hit.change else []
    where = [hit.position.icount, hit.position.phase, hit.pc, *values]
    return where if hit.exact else [*where, False]


def _point(entry: dict[str, Any]) -> tuple[PointKey, Known]:
    key = PointKey(str(entry["kind"]), int(entry["address"]), int(entry["length"]))
    point = key.point()
    covered = tuple((_position(low_high[:2]), _position(low_high[2:])) for low_high in entry["covered"])
    hits = tuple(_read_hit(point, item) for item in entry["hits"])
    if list(covered) != sorted(covered) or list(hits) != sorted(hits, key=lambda hit: hit.position):
        raise ValueError("not in order")
    return key, Known(covered, hits)


def _read_hit(point: Point, item: Sequence[Any]) -> Hit:
    rest = list(item[3:])
    exact = rest.pop() if rest and rest[-1] is False else True
    change = ValueChange(*map(bytes.fromhex, rest)) if rest else None
    return Hit(_position(item[:2]), int(item[2]), point, change, exact)


def _position(pair: Sequence[Any]) -> Position:
    icount, phase = pair
    return Position(int(icount), int(phase))
