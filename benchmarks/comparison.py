"""What became slower since an earlier run, on a machine that may itself have been slower or faster then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Cell, Results

OURS = "rrdbg"
"""The rival that is to become no slower."""


@dataclass(frozen=True, slots=True)
class Change:
    """A measure of ours: ``factor`` is above 1 where it takes longer than before, in seconds of plain replay."""

    guest: str
    measure: str
    factor: float
    verdict: str = ""


def changes(old: Results, new: Results) -> Iterator[Change]:
    """Each measure of ours that both have; seconds count as multiples of what a plain replay took in the same run."""
    for name, guest in new.guests.items():
        before = old.guests.get(name)
        if before is None:
            continue
        machine = guest.limits.replay / before.limits.replay
        for measure, row in guest.cells.items():
            then, now = before.cells.get(measure, {}).get(OURS), row.get(OURS)
            if then and now and (then.seconds or then.verdict):
                yield Change(name, measure, _factor(then, now) / machine, now.verdict if not then.verdict else "")


def _factor(then: Cell, now: Cell) -> float:
    return now.seconds / then.seconds if then.seconds and now.seconds else 1.0
