"""The results of some runs, as values and as a JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Series
from benchmarks.limits import Limits
from benchmarks.measures import Measure
from benchmarks.outcome import Outcome
from benchmarks.runner import Result


@dataclass(frozen=True, slots=True)
class Cell:
    """One rival's measure over all runs.

    ``seconds`` is the median of the runs, of one movement or of all as the measure says; ``p95`` and ``worst`` are of
    single movements, ``share`` is the smallest part of them that was made. A ``verdict`` tells what went wrong, and
    in how many of the runs.
    """

    seconds: float
    p95: float
    worst: float
    share: float
    verdict: str = ""

    @classmethod
    def of(cls, measure: Measure, outcomes: Sequence[Outcome]) -> Cell:
        """Put the outcomes of several runs together."""
        bad = [outcome.verdict for outcome in outcomes if outcome.verdict]
        verdict = bad[0] if bad else ""
        if bad and len(bad) < len(outcomes):
            verdict += f" ({len(bad)} of {len(outcomes)} runs)"
        timed = [outcome for outcome in outcomes if outcome.seconds and not outcome.verdict]
        if not timed:
            return cls(0.0, 0.0, 0.0, 0.0, verdict)
        every = Series.of([seconds for outcome in timed for seconds in outcome.seconds])
        values = [median(outcome.seconds) if measure.each else outcome.whole for outcome in timed]
        return cls(
            round(median(values), 5), round(every.p95, 5), round(every.worst, 5),
            round(min(outcome.done for outcome in timed), 4), verdict,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GuestResults:
    """What was measured on one guest: a cell by measure and rival, memory and disk in bytes by rival.

    ``defaults`` tells how often a ``bc`` ended how in a recording with QEMU's default devices.
    """

    instructions: int
    log_bytes: int
    snapshots: int
    index_seconds: float
    limits: Limits
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    defaults: dict[str, int] = field(default_factory=dict)

    def add(self, measures: Sequence[Measure], runs: dict[str, list[Result]]) -> None:
        """Take what some runs of each rival have given."""
        for measure in measures:
            self.cells[measure.name] = {
                rival: Cell.of(measure, [result.outcomes[measure.name] for result in results])
                for rival, results in runs.items()
            }
        for rival, results in runs.items():
            self.memory[rival] = max(result.memory for result in results)
            self.disk[rival] = max(result.disk for result in results)


@dataclass(frozen=True, slots=True)
class Results:
    """All of one ``python -m benchmarks``; ``load`` is how many processors others kept busy before it began."""

    qemu: str
    runs: int
    guests: dict[str, GuestResults]
    machine: str = field(default_factory=lambda: f"{platform.machine()}, {os.cpu_count()} cores")
    load: float = 0.0

    def write(self, path: Path) -> None:
        """Write them down."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """What was written down."""
        content: dict[str, Any] = json.loads(path.read_text())
        guests = {name: _guest(guest) for name, guest in content.pop("guests").items()}
        return cls(guests=guests, **content)


def _guest(content: dict[str, Any]) -> GuestResults:
    cells = {
        measure: {rival: Cell(**cell) for rival, cell in row.items()}
        for measure, row in content.pop("cells").items()
    }  # fmt: skip
    return GuestResults(limits=Limits(**content.pop("limits")), cells=cells, **content)
