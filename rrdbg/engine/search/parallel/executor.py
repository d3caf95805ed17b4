"""Who carries segments of a scan out: what a search in parallel asks of its workers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from rrdbg.engine.search.segment import Part, SegmentTask

TaskProgress = Callable[[int, int], None]
"""Called with the index of a task, and the icount that it has come to."""


class Executor(Protocol):
    """Runs several tasks at a time."""

    @property
    def jobs(self) -> int:
        """How many."""

    def run(self, tasks: Sequence[SegmentTask], memory: int, on_progress: TaskProgress) -> AsyncGenerator[Part, None]:
        """The parts of all tasks' results, task by task in their order, as soon as they are known.

        Each task takes about ``memory`` bytes. Closing the generator ends the tasks that are under way, and returns
        when their QEMUs have ended.

        :raises LinkError: what ended a task, when all before it was given.
        """

    async def close(self) -> None:
        """Let the workers go."""
