"""Two sessions have gone on from one timeline: what both have found since, as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from rrdbg.model.timeline.cost import CostMap
from rrdbg.model.timeline.line import WHO_RAN, Timeline
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind

V = TypeVar("V")


def merged(before: Timeline, mine: Timeline, theirs: Timeline) -> Timeline:
    """``theirs``, and what has changed from ``before`` to ``mine``; of one thing that both have changed mine counts.

    So bookmarks and snapshots that one has taken away are gone, unless the other one has changed them.
    """
    if before is mine:
        return theirs
    snapshots = _changed(_by_icount(before), _by_icount(mine), _by_icount(theirs))
    both = {icount: _one(snapshot, before, mine, theirs) for icount, snapshot in snapshots.items()}
    result = replace(
        theirs,
        snapshots=tuple(both[icount] for icount in sorted(both)),
        bookmarks=_changed(before.bookmarks, mine.bookmarks, theirs.bookmarks),
        cost=_costs(before.cost, mine.cost, theirs.cost),
    )
    for name, marks in mine.marks.items():
        if name == WHO_RAN and marks != before.marks.get(name):
            # Two samplings of one stretch say the same; of both together each would hide the other.
            result = replace(result, marks={**result.marks, name: marks})
            continue
        known = set(before.marks.get(name, ()))
        for mark in marks:
            if mark not in known:
                result = result.with_mark(name, mark)
    return result


def _changed(before: Mapping[Any, V], mine: Mapping[Any, V], theirs: Mapping[Any, V]) -> dict[Any, V]:
    result = dict(theirs)
    for key in before.keys() - mine.keys():
        if result.get(key) == before[key]:
            del result[key]
    for key, value in mine.items():
        if before.get(key) != value:
            result[key] = value
    return result


def _by_icount(timeline: Timeline) -> dict[int, Snapshot]:
    return {snapshot.icount: snapshot for snapshot in timeline.snapshots}


def _one(snapshot: Snapshot, before: Timeline, mine: Timeline, theirs: Timeline) -> Snapshot:
    """A snapshot that perhaps both know, with what each has learned of it; a user's own one stays his."""
    old, ours, other = (line.snapshot_at(snapshot.icount) for line in (before, mine, theirs))
    if ours is None or other is None or ours == other:
        return snapshot
    if old is None:
        return other if other.kind is SnapshotKind.NAMED else ours
    names = [field.name for field in fields(Snapshot)]
    return replace(other, **{name: getattr(ours, name) for name in names if getattr(ours, name) != getattr(old, name)})


def _costs(before: CostMap, mine: CostMap, theirs: CostMap) -> CostMap:
    known = set(before.pieces)
    for piece in mine.pieces:
        if piece not in known:
            theirs = theirs.with_piece(piece)
    return theirs
