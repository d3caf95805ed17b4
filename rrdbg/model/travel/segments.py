"""A scan in segments that several machines look at, whose hits are together those of a single pass.

The timeline is cut at snapshots, since a machine can only begin there. Breakpoints' hits need no more than that:
segments are ``[start, end)`` for them, and abut. A watchpoint's hit has the bytes before it, and is none if they are
the same as after it; those before are what a single pass saw last, perhaps long ago, when it stopped for the
watchpoint. In a segment that is not the first one they are not known where a watchpoint fires for the first time: that
hit is *opening*, and says what the bytes were then. Whoever takes the segments in order knows what was seen last, and
settles it (:class:`Carried`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rrdbg.model.hits.stop import Hit, NotedHit, WatchKind, Watchpoint, value_change
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot

LEAST_SECONDS = 1.0
"""Replay time that a segment should take at least: to start a machine for it takes 0.3 s."""

PER_JOB = 3
"""Segments for each job, so that one with many hits does not keep the others waiting at the end."""


@dataclass(frozen=True, slots=True)
class Segment:
    """From ``start``, up to ``end``: a part of a scan, whose machine is started on ``snapshot``."""

    snapshot: Snapshot
    start: Position
    end: Position


def split(timeline: Timeline, start: Position, end: Position, jobs: int) -> tuple[Segment, ...]:
    """The segments of a scan from ``start`` to ``end`` for so many ``jobs``, about even in replay time.

    They abut, in order, and each but the first starts at a snapshot. There is a single one where there is nothing to be
    gained, or no snapshot to cut at.
    """
    seconds = timeline.cost.seconds
    most = max(LEAST_SECONDS, seconds(start.icount, end.icount) / (PER_JOB * jobs))
    segments = []
    first = timeline.nearest(timeline.landing_before(start))
    assert first is not None, "a timeline has an initial snapshot"
    here = Segment(first, start, end)
    for snapshot in timeline.snapshots if jobs > 1 else ():
        icount = snapshot.icount
        if snapshot.sound is False or not here.start.icount < icount or end.icount - icount <= OVERLAP:
            continue
        if seconds(here.start.icount, icount) >= most and seconds(icount, end.icount) >= LEAST_SECONDS / 2:
            segments.append(Segment(here.snapshot, here.start, Position(icount)))
            here = Segment(snapshot, Position(icount), end)
    return (*segments, here)


OVERLAP = 64
"""Instructions that a segment's machine runs beyond its end, where it counts no hits any more: QEMU may keep to itself
what the last instruction of a run does to a watchpoint.
"""


@dataclass(frozen=True, slots=True)
class Opening:
    """The note of an opening hit: the watched bytes after it, None where they are not mapped.

    ``reported`` tells whether QEMU has reported an access there, None if that was not found out.
    """

    after: bytes | None
    reported: bool | None


@dataclass(slots=True)
class Carried:
    """What was seen last of the watched bytes, by the watchpoints' numbers, in the segments so far."""

    values: dict[int, bytes | None] = field(default_factory=dict)

    def asks(self, hit: Hit) -> bool:
        """True if :meth:`settled` cannot be told without knowing whether QEMU has reported an access at ``hit``."""
        if not isinstance(hit, NotedHit) or not isinstance(hit.note, Opening) or hit.note.reported is not None:
            return False
        return None in (hit.note.after, self.values[hit.point.number])

    def settled(self, hit: Hit, *, reported: bool = False) -> Hit | None:
        """``hit`` as a single pass has it, None if that has none there; ``reported`` answers :meth:`asks`."""
        if not isinstance(hit, NotedHit) or not isinstance(hit.note, Opening):
            return hit
        assert isinstance(hit.point, Watchpoint)
        before, after = self.values[hit.point.number], hit.note.after
        told = reported if hit.note.reported is None else hit.note.reported
        if hit.point.kind is WatchKind.WRITE and (after == before or (None in (before, after) and not told)):
            return None
        return Hit(hit.position, hit.pc, hit.point, value_change(before, after), hit.exact)

    def after(self, values: Mapping[int, bytes | None]) -> None:
        """A segment is over, in which ``values`` were what was seen last, of those watchpoints that stopped it."""
        self.values |= values
