"""What came of a measure: how long each of its movements took, or why there is no such figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from benchmarks.places import Place
from benchmarks.rival import Wrong


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds of the movements that were made, which share of all they are, and what went wrong (empty: nothing)."""

    seconds: tuple[float, ...]
    done: float
    verdict: str = ""

    @property
    def whole(self) -> float:
        """Seconds for all movements, those not made taken to be like those made."""
        return sum(self.seconds) / self.done if self.done else 0.0


@dataclass(slots=True)
class Clock:
    """Times one measure of ``count`` movements, which is to end early when ``budget`` seconds are used up."""

    budget: float
    count: int
    seconds: list[float] = field(default_factory=list)
    share: float = 1.0
    """Which share of its last movement was made."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time what is done inside as one movement."""
        began = monotonic()
        yield
        self.seconds.append(monotonic() - began)

    @property
    def spent(self) -> bool:
        """True when the budget is used up."""
        return sum(self.seconds) > self.budget

    def outcome(self, verdict: str = "") -> Outcome:
        """What has been measured so far."""
        done = len(self.seconds) / self.count * self.share
        return Outcome(tuple(self.seconds), min(done, 1.0), verdict)


def check(found: Place, wanted: Place, *others: int) -> None:
    """Compare where a rival stands with where it must be; ``others`` are icounts that are right, too.

    :raises Wrong: it is elsewhere.
    """
    if found.icount in others:
        return
    if found.icount != wanted.icount:
        raise Wrong("missed the hit" if found.icount < wanted.icount else "stopped too early")
    if wanted.pc is not None and found.pc is not None and found.pc != wanted.pc:
        raise Wrong("right count, wrong instruction")


def same(found: Sequence[object], wanted: Sequence[object]) -> None:
    """Compare two lists of stops.

    :raises Wrong: they differ.
    """
    for number, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one != other:
            raise Wrong(f"another line at stop {number + 1}")
