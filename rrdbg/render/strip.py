"""The timeline as one line of text that fits the terminal.

0 |--|--|-b-|--->--|------------ 1,487,860,122
"""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.model.timeline.line import STOPS, Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import SnapshotKind

NARROWEST = 10
"""Cells of the line itself, however narrow the terminal: less says nothing."""

_SNAPSHOT, _NAMED, _STOP, _BOOKMARK, _CURSOR, _EMPTY = "|", "N", "*", "b", ">", "-"
_ALIKE, _PARTED = "=", "x"
LEGEND = "| snapshot   N named snapshot   * stop   b bookmark   > cursor"


def timeline_strip(timeline: Timeline, cursor: Position, width: int) -> str:
    """One line of at most ``width`` cells: start, snapshots, stops, bookmarks, the cursor, and the end.

    What shares a cell hides what matters less: the cursor over bookmarks over stops over named snapshots over others.
    The ends' numbers are left out where they would leave the line fewer than :data:`NARROWEST` cells.
    """
    left, right = "0 ", f" {timeline.end}"
    room = width - len(left) - len(right)
    if room < NARROWEST:
        left = right = ""
        room = max(width, 1)
    cells = [_EMPTY] * room

    def mark(icount: int, sign: str) -> None:
        cells[_cell(icount, timeline.end.icount, room)] = sign

    for snapshot in timeline.snapshots:
        if snapshot.kind is not SnapshotKind.NAMED:
            mark(snapshot.icount, _SNAPSHOT)
    for snapshot in timeline.snapshots:
        if snapshot.kind is SnapshotKind.NAMED:
            mark(snapshot.icount, _NAMED)
    for stop in timeline.marks.get(STOPS, ()):
        mark(stop.position.icount, _STOP)
    for bookmark in timeline.bookmarks.values():
        mark(bookmark.position.icount, _BOOKMARK)
    mark(cursor.icount, _CURSOR)
    return left + "".join(cells) + right


def _cell(icount: int, end: int, room: int) -> int:
    return min(icount * room // end, room - 1) if end else 0


def beside_strips(ends: Sequence[Position], parted: Position | None, width: int) -> list[str]:
    """Two timelines as lines of the same scale, the longer ``width`` cells wide, with an x where they have ``parted``.

    Equal signs are what is alike in both. None is for two of which the shorter is the beginning of the other.
    """
    whole = max(end.icount for end in ends)
    shared = min(end.icount for end in ends) if parted is None else parted.icount
    alike = _cell(shared, whole, width)
    sign = _ALIKE if parted is None else _PARTED
    return [
        (_ALIKE * alike + sign + _EMPTY * length)[:length]
        for length in (_cell(end.icount, whole, width) + 1 for end in ends)
    ]
