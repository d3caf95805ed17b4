"""How far a movement has come, in seconds of replay by the timeline's cost map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rrdbg.model.timeline.cost import CostMap


@dataclass(frozen=True, slots=True)
class Progress:
    """A machine is at ``icount``; of ``whole`` seconds of replay that there may be to do, ``done`` are done.

    A search ends at the first hit that it finds, so ``whole`` is what it takes at most.
    """

    icount: int
    done: float
    whole: float

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(self.done / self.whole, 1.0) if self.whole > 0 else 1.0


ProgressListener = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the timeline that is run through: a part of something longer.

    Before it ``done`` seconds of ``whole`` were done.
    """

    cost: CostMap
    start: int
    done: float
    whole: float
    listener: ProgressListener

    @classmethod
    def alone(cls, cost: CostMap, start: int, end: int, listener: ProgressListener) -> Stretch:
        """One that is all there is to do."""
        return cls(cost, start, 0.0, cost.seconds(start, end), listener)

    def at(self, icount: int) -> None:
        """Tell the listener that a machine is at ``icount``."""
        self.listener(Progress(icount, self.done + self.cost.seconds(self.start, icount), self.whole))


class OneBar:
    """Makes the bars of some parts, of which each tells of itself alone, one of the ``whole`` seconds that all take."""

    def __init__(self, listener: ProgressListener, whole: float) -> None:
        self._listener = listener
        self._whole = whole
        self._told = 0.0
        self.done = 0.0
        """The seconds of what lies before the part that is under way."""
        self.counts = True
        """False while something is done that is no part of it, and takes little."""

    def __call__(self, progress: Progress) -> None:
        """Tell of the whole what a part tells of itself."""
        part = progress.done if self.counts else 0.0
        # A part may look further than it has come when the next one takes over.
        self._told = max(self._told, min(self.done + part, self._whole))
        self._listener(Progress(progress.icount, self._told, self._whole))
