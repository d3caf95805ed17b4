"""How much of the log lies where: what replaying will cost is known from that before anything was replayed.

A replay executes instructions, and at each event of the log it waits until QEMU's threads have met. A stretch of a
Linux boot has one event in 5,000 instructions, firmware that waits in a loop with ``pause`` one in 50, and then the
events are nearly all of the cost.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

MOST_SAMPLES = 4096
"""A sample is taken at every so many bytes that a log has no more than about this many."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The log's size in bytes up to some icounts: parallel, growing sequences; between two of them it grows evenly."""

    icounts: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("Q"))

    def upto(self, icount: int) -> float:
        """Bytes of log up to ``icount``."""
        index = bisect_right(self.icounts, icount)
        if index == len(self.icounts):
            return float(self.sizes[-1]) if self.sizes else 0.0
        low, start = (self.icounts[index - 1], self.sizes[index - 1]) if index else (0, 0)
        return start + (self.sizes[index] - start) * (icount - low) / (self.icounts[index] - low)

    def between(self, low: int, high: int) -> float:
        """Bytes of log in the stretch from ``low`` to ``high``."""
        return self.upto(high) - self.upto(low)
