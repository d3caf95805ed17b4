"""A scan in segments that several machines look at, whose hits are together those of a single pass.

The timeline is cut at snapshots, since a machine can only begin there. Segments are ``[start, end)`` for breakpoints
and ``(start, end]`` for watchpoints, and abut; what the bytes under a watchpoint were before a hit is looked up at that
hit (:mod:`rrdbg.engine.search.trail`), so none needs to know what happened before it.
"""

from __future__ import annotations

from dataclasses import dataclass

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
