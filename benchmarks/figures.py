"""Figures of a series of measurements, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        """The figures of ``seconds``, which has one value at least."""
        p95 = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
        return cls(len(seconds), median(seconds), min(p95, max(seconds)), max(seconds))

    def __str__(self) -> str:
        return f"p50 {self.p50:6.3f} s   p95 {self.p95:6.3f} s   max {self.worst:6.3f} s   ({self.count})"
