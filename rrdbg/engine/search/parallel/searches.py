"""Searches in which several workers look at segments of the timeline at the same time.

What they find is what a single pass finds, in the same order: :mod:`rrdbg.model.travel.segments` tells how that is made
sure.
"""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.progress import Progress, ProgressListener
from rrdbg.engine.search.backward import LastAmong, Note
from rrdbg.engine.search.parallel.executor import Executor, TaskProgress
from rrdbg.engine.search.scan import Accept
from rrdbg.engine.search.segment import SegmentTask
from rrdbg.links.memory import resident
from rrdbg.model.hits.stop import Hit, Point
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.travel.segments import Segment, split

MOST_TASKS_MEMORY = 256 << 20
"""What a task takes where no machine runs yet that could tell."""


class Parallel:
    """Searches of one recording, whose machines ``launcher`` starts here, by ``executor``'s workers."""

    def __init__(self, launcher: Launcher, executor: Executor) -> None:
        self._launcher = launcher
        self._executor = executor
        self._root = launcher.recording.layout.root
        self._own = launcher.recording.own

    async def close(self) -> None:
        """Let the workers go."""
        await self._executor.close()

    def segments(self, timeline: Timeline, start: Position, end: Position, accept: Accept | None) -> Sequence[Segment]:
        """What to give to the workers of a scan from ``start`` to ``end``; none if it is better done here."""
        found = split(timeline, start, end, self._executor.jobs) if _can_be_sent(accept) else ()
        return found if len(found) > 1 else ()

    async def scan(
        self,
        timeline: Timeline,
        segments: Sequence[Segment],
        points: Sequence[Point],
        accept: Accept | None,
        report: ProgressListener,
        *,
        careful: bool,
    ) -> AsyncGenerator[Hit, None]:
        """Every hit of ``points`` in ``segments``, in order, as a single scan finds them, in all address spaces."""
        tasks = [
            SegmentTask(
                self._root, segment, tuple(points), accept, final=segment is segments[-1], careful=careful,
                own=self._own,
            )
            for segment in segments
        ]  # fmt: skip
        with self._launcher.holding(segment.snapshot for segment in segments):
            parts = self._executor.run(tasks, self._memory(), _progress(timeline, segments, report))
            async with aclosing(parts):
                async for part in parts:
                    for hit in part.hits:
                        yield hit

    def backwards(
        self,
        timeline: Timeline,
        points: Sequence[Point],
        accept: Accept | None,
        report: ProgressListener,
        note: Note | None,
    ) -> LastAmong | None:
        """What finds the last hit of ``points`` in segments, unless that is better done here.

        ``note`` is told every stretch that was scanned.
        """
        if not _can_be_sent(accept):
            return None

        async def among(segments: Sequence[Segment]) -> Hit | None:
            tasks = [
                SegmentTask(self._root, segment, tuple(points), accept, last=True, own=self._own)
                for segment in segments
            ]
            with self._launcher.holding(segment.snapshot for segment in segments):
                parts = self._executor.run(tasks, self._memory(), _progress(timeline, segments, report))
                async with aclosing(parts):
                    async for part in parts:
                        for scanned in part.notes:
                            if note:
                                note(*scanned)
                        if part.hits:
                            return part.hits[-1]
            return None

        return among

    def _memory(self) -> int:
        """What a task will take: as much as the largest machine that runs now."""
        sizes = [resident(known.walker.machine.process.pid) for known in self._launcher.running]
        return max(sizes, default=MOST_TASKS_MEMORY)


def _can_be_sent(accept: Accept | None) -> bool:
    try:
        pickle.dumps(accept)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True


def _progress(timeline: Timeline, segments: Sequence[Segment], report: ProgressListener) -> TaskProgress:
    """Tells ``report`` how much all workers together have done."""
    seconds = timeline.cost.seconds
    whole = sum(seconds(segment.start.icount, segment.end.icount) for segment in segments)
    reached = [segment.start.icount for segment in segments]

    def tell(index: int, icount: int) -> None:
        reached[index] = max(reached[index], min(icount, segments[index].end.icount))
        done = sum(seconds(part.start.icount, there) for part, there in zip(segments, reached, strict=True))
        report(Progress(icount, done, whole))

    return tell
