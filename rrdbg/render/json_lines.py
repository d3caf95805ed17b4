"""Results as JSON: one object a line, its ``kind`` the name of the result."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import datetime

from rrdbg.errors import RrdbgError
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.results import Result, TimelineView
from rrdbg.model.timeline.position import Position


def to_json(result: Result) -> str:
    """``result`` as one line of JSON; bytes are hex, positions have ``icount`` and ``phase``."""
    return json.dumps(to_plain(result))


def to_plain(result: Result) -> dict[str, object]:
    """The same as values that JSON has."""
    if isinstance(result, TimelineView):
        return {"kind": "timeline", **_timeline(result)}
    return {"kind": _kind(type(result).__name__), **_plain_fields(result)}


def error_to_json(error: RrdbgError) -> str:
    """An error as one line of JSON."""
    content = {
        "kind": "error",
        "error": type(error).__name__,
        "message": str(error),
        "exit_code": error.exit_code,
    }
    return json.dumps(content)


def _timeline(view: TimelineView) -> dict[str, object]:
    timeline = view.timeline
    return {
        "cursor": _plain(view.cursor),
        "end": _plain(timeline.end),
        "snapshots": _plain(timeline.snapshots),
        "bookmarks": _plain(dict(timeline.bookmarks)),
        "cost": [[piece.start, piece.end, piece.seconds] for piece in timeline.cost.pieces],
    }


def _plain_fields(value: object) -> dict[str, object]:
    assert dataclasses.is_dataclass(value)
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, Position):
        return {"icount": value.icount, "phase": value.phase}
    if isinstance(value, TaskRuns):
        return value.name
    if dataclasses.is_dataclass(value):
        return {"type": _kind(type(value).__name__), **_plain_fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _kind(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
