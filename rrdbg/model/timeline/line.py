"""The recording as a line: its end, its ambiguous icounts and the snapshots along it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.cost import CostMap
from rrdbg.model.timeline.deliveries import Deliveries
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot

MARKS_KEPT = 1000
"""How many marks of a name are remembered; older ones make room."""

STOPS = "stops"
"""The name of the marks where movements ended at breakpoints and watchpoints."""

QUERY_HITS = "query hits"
"""The name of the marks of what queries have found."""

WHO_RAN = "who ran"
"""The name of the marks that say which code ran from each of them up to its last position."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Positions from 0 to ``end``; ``snapshots`` are ordered by icount and never share one.

    ``end`` is the fence: the last position that can be reached without QEMU handling the end of its log. ``cost``
    is how long replaying takes, as far as it was measured. ``marks`` are what commands found, by a name such as
    :data:`STOPS`, each in the order in which it was found.
    """

    end: Position
    deliveries: Deliveries = field(default_factory=Deliveries)
    snapshots: tuple[Snapshot, ...] = ()
    bookmarks: Mapping[str, Bookmark] = field(default_factory=dict)
    cost: CostMap = field(default_factory=CostMap)
    marks: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)

    @property
    def places(self) -> dict[str, Position]:
        """The positions that have names."""
        return {name: bookmark.position for name, bookmark in self.bookmarks.items()}

    def nearest(self, icount: int) -> Snapshot | None:
        """The latest snapshot at or before ``icount`` that is not known to be unsound.

        It is exact, since snapshots lie only at plain icounts.
        """
        index = bisect_right(self.snapshots, icount, key=_icount)
        return next((known for known in self.snapshots[:index][::-1] if known.sound is not False), None)

    def snapshot_at(self, icount: int) -> Snapshot | None:
        """The snapshot exactly at ``icount``, if there is one."""
        index = bisect_left(self.snapshots, icount, key=_icount)
        found = self.snapshots[index : index + 1]
        return found[0] if found and found[0].icount == icount else None

    def after(self, icount: int) -> Snapshot | None:
        """The first snapshot behind ``icount``, that is with a larger one."""
        index = bisect_right(self.snapshots, icount, key=_icount)
        return self.snapshots[index] if index < len(self.snapshots) else None

    def with_snapshot(self, snapshot: Snapshot) -> Timeline:
        """This timeline with ``snapshot`` added, or replacing the one at its icount."""
        others = [known for known in self.snapshots if known.icount != snapshot.icount]
        return replace(self, snapshots=tuple(sorted([*others, snapshot], key=_icount)))

    def without_snapshot(self, icount: int) -> Timeline:
        """This timeline without the snapshot at ``icount``."""
        return replace(self, snapshots=tuple(known for known in self.snapshots if known.icount != icount))

    def with_mark(self, name: str, mark: Mark) -> Timeline:
        """This timeline with one more mark called ``name``; it takes the place of an earlier one at its position."""
        others, icount = self.marks.get(name, ()), mark.position.icount
        if icount in [known.position.icount for known in others]:  # a query notes tens of thousands
            others = tuple(known for known in others if known.position != mark.position)
        return replace(self, marks={**self.marks, name: (*others, mark)[-MARKS_KEPT:]})

    def with_runs(self, start: Position, end: Position, runs: Sequence[Mark]) -> Timeline:
        """This timeline with ``runs`` as all that is known of who ran from ``start`` on and before ``end``."""
        others: list[Mark] = []
        for known in self.marks.get(WHO_RAN, ()):
            if known.position < start:
                others.append(replace(known, last=min(known.end, start)))
            if known.end > end:
                others.append(replace(known, position=max(known.position, end)))
        kept = sorted([*others, *runs], key=lambda mark: mark.position)
        return replace(self, marks={**self.marks, WHO_RAN: tuple(kept[-MARKS_KEPT:])})

    def landing_before(self, position: Position) -> int:
        """The last plain icount from which single-stepping arrives at ``position``.

        A plain position is its own landing; an ambiguous one is reached by stepping from below it.
        """
        if position.phase == 0 and self.deliveries.is_plain(position.icount):
            return position.icount
        return self.deliveries.plain_at_or_before(position.icount - 1)


def _icount(snapshot: Snapshot) -> int:
    return snapshot.icount
