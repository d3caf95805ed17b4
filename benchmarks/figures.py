"""Figures of a series of measurements, and how they are printed and kept."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Series:
    """Seconds: how many measurements, the median, the 95th percentile and the largest."""

    count: int
    p50: float
    p95: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Series:
        """The figures of ``seconds``, which has two values at least."""
        return cls(len(seconds), median(seconds), quantiles(seconds, n=20)[-1], max(seconds))

    def __str__(self) -> str:
        return f"p50 {self.p50:6.3f} s   p95 {self.p95:6.3f} s   max {self.worst:6.3f} s   ({self.count})"


def keep(path: Path, name: str, figures: Mapping[str, object]) -> None:
    """Add ``figures`` under ``name`` to the JSON file at ``path``."""
    content = json.loads(path.read_text()) if path.exists() else {}
    plain = {key: asdict(value) if isinstance(value, Series) else value for key, value in figures.items()}
    content[name] = {"machine": platform.platform(), **plain}
    path.write_text(json.dumps(content, indent=1) + "\n")
