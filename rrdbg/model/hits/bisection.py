"""Bisecting as values: what was seen at which positions goes in, where to look next comes out.

Between a position where something does not hold yet (*good*) and a later one where it does (*bad*) there is a first one
where it does. Each :class:`Probe` halves the stretch in which that lies, if the predicate is monotonic: once true, it
stays true. Positions whose probe says nothing are skipped, as ``git bisect skip`` does with commits. For one task alone
only the positions count at which it runs: those between are no positions then, and cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from rrdbg.errors import Undecided, UsageError
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

MOST_SKIPS = 32
"""Positions skipped in one stretch, one after another, before it counts as one where nothing can be told."""


class Verdict(StrEnum):
    """What a predicate says of a position.

    It is ``AWAY`` where a task is asked about that has not the memory there that it is asked about.
    """

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"
    AWAY = "away"


class Away(Exception):
    """Raised by what reads a task's memory: the task has none there; it is the kernel's, or has ended."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and what it was founded on in words: a value, an exit status."""

    verdict: Verdict
    value: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was seen at a position, and how many seconds that took, the way there included."""

    position: Position
    verdict: Verdict
    value: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a predicate turns true: the step from ``before`` to ``position``, and its values at both.

    Between the two lie ``skipped`` positions that could not be judged, each of which may be the first true one. If
    one task was asked about, it may be ``elsewhere`` that it turns: while others run, so in no step of the task's.
    """

    before: Position
    position: Position
    old: str
    new: str
    probes: int
    seconds: float
    skipped: int = 0
    elsewhere: bool = False

    @property
    def place(self) -> Position:
        """Where to look: before the step that turns it, or where the task goes on that was away meanwhile."""
        return self.position if self.elsewhere else self.before

    @property
    def told_elsewhere(self) -> str:
        """A sentence for a turn elsewhere; empty for any other."""
        if not self.elsewhere:
            return ""
        return f"It came to hold between {self.before} and {self.position}, while other tasks ran."


@dataclass(frozen=True, slots=True)
class Bisection:
    """The first bad position lies in ``(good, bad]``; ``skipped`` are positions in between that tell nothing.

    With ``task`` both ends are positions at which it runs, and others do not count.
    """

    good: Position
    bad: Position
    skipped: frozenset[Position] = frozenset()
    task: TaskRuns | None = None

    @classmethod
    def between(cls, good: Position, bad: Position, task: TaskRuns | None = None) -> Bisection:
        """A new one, if for a ``task`` alone from where it first runs to where it last does.

        :raises UsageError: ``good`` is not before ``bad``.
        """
        if not good < bad:
            raise UsageError(f"The good position, {good}, must lie before the bad one, {bad}.")
        if task is None:
            return cls(good, bad)
        first = task.at_or_after(good)
        last = bad if task.begins_at(bad) else task.last_before(bad)
        if first is None or last is None or not first < last:
            raise UsageError(f"Task {task} does not run between {good} and {bad}, or only for an instruction.")
        return cls(first, last, task=task)

    @property
    def remaining(self) -> int:
        """Instructions between the ends, of the task if it is for one."""
        if self.task:
            return self.task.instructions(self.good, self.bad)
        return self.bad.icount - self.good.icount

    @property
    def rounds(self) -> int:
        """How many more probes it takes, about."""
        return max(self.remaining - 1, 0).bit_length()

    def after(self, probe: Probe) -> Bisection:
        """What is left once ``probe`` is known.

        :raises Undecided: it contradicts an earlier one: the predicate is not monotonic.
        """
        position = probe.position
        match probe.verdict:
            case Verdict.GOOD if position >= self.bad:
                raise Undecided(_contradiction(bad=self.bad, good=position))
            case Verdict.BAD if position <= self.good:
                raise Undecided(_contradiction(bad=position, good=self.good))
            case Verdict.GOOD if position > self.good:
                return self._narrowed(replace(self, good=position))
            case Verdict.BAD if position < self.bad:
                return self._narrowed(replace(self, bad=position))
            case Verdict.SKIP | Verdict.AWAY if self.good < position < self.bad:
                return replace(self, skipped=self.skipped | {position})
        return self

    def after_all(self, probes: Iterable[Probe]) -> Bisection:
        """What is left once all of ``probes`` are known, whatever their order.

        :raises Undecided: they contradict each other.
        """
        bisection = self
        for probe in probes:
            bisection = bisection.after(probe)
        return bisection

    def next(self, timeline: Timeline) -> Position | None:
        """The plain position to look at next; None where none is left that was not skipped, or too many were.

        That is a snapshot, if one lies in the middle half of the stretch, since loading one costs least; or else
        the middle itself. Around what was skipped it is the middle of the halves, of the quarters, and so on.
        """
        if not self.skipped and (near := self._snapshot(timeline)) is not None:
            return near
        return self.middle(timeline)

    def middle(self, timeline: Timeline) -> Position | None:
        """As :meth:`next`, wherever snapshots are."""
        for icount in self._candidates(timeline):
            if self._inside(icount) and Position(icount) not in self.skipped:
                return Position(icount)
        return None

    def _snapshot(self, timeline: Timeline) -> Position | None:
        places = [known.icount for known in timeline.snapshots if known.sound is not False]
        low, high = self._at(0.25), self._at(0.75)
        near = [icount for icount in places if low <= icount <= high and self._inside(icount)]
        middle = self._at(0.5)
        return Position(min(near, key=lambda icount: abs(icount - middle))) if near else None

    def _at(self, share: float) -> int:
        """The icount behind this share of what is left."""
        if self.task:
            return self.task.after(self.good, int(self.remaining * share))
        return self.good.icount + int(self.remaining * share)

    def _candidates(self, timeline: Timeline) -> Iterator[int]:
        if len(self.skipped) >= MOST_SKIPS:
            return
        for number in range(1, 8 * MOST_SKIPS):
            icount = self._at(_spread(number))
            before = timeline.deliveries.plain_at_or_before(icount)
            yield before if self._inside(before) else timeline.deliveries.plain_after(icount)

    def _inside(self, icount: int) -> bool:
        place = Position(icount)
        return self.good < place < self.bad and (self.task is None or self.task.begins_at(place))

    def _narrowed(self, bisection: Bisection) -> Bisection:
        kept = (position for position in self.skipped if bisection.good < position < bisection.bad)
        return replace(bisection, skipped=frozenset(kept))


def _spread(number: int) -> float:
    """1/2, 1/4, 3/4, 1/8, 5/8, 3/8, 7/8, ...: the bits of ``number`` behind the point, in reverse (van der Corput)."""
    share, weight = 0.0, 0.5
    while number:
        share += weight * (number & 1)
        number, weight = number >> 1, weight / 2
    return share


def _contradiction(*, bad: Position, good: Position) -> str:
    return (
        f"The predicate is not monotonic: it holds at {bad}, and no longer at {good}. Bisecting finds only one place "
        "where it turns true; --scan finds all."
    )
