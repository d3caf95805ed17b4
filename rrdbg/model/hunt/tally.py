"""How often a guest has failed, and what that says of how often it fails."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_STEPS = 60
"""Halvings of an interval of probabilities: more than a float has digits."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Runs that ended, those of them that failed, and those that were the same as an earlier one.

    What is the same says nothing new and counts in no rate.
    """

    runs: int = 0
    failures: int = 0
    repeated: int = 0

    def plus(self, *, failed: bool, repeated: bool) -> Tally:
        """With one run more."""
        return replace(
            self,
            runs=self.runs + 1,
            failures=self.failures + (failed and not repeated),
            repeated=self.repeated + repeated,
        )

    @property
    def different(self) -> int:
        """Runs that were not the same as an earlier one."""
        return self.runs - self.repeated

    @property
    def rate(self) -> float:
        """The share of different runs that failed; 0 if there are none."""
        return self.failures / self.different if self.different else 0.0

    def at_most(self, confidence: float) -> float:
        """The rate of failures is not above this, with ``confidence`` (0 to 1).

        Without a failure that is the exact form of the rule of three: 1 - (1 - confidence)**(1 / runs), about 3 / runs.

        >>> round(Tally(runs=1000).at_most(0.95), 6), round(Tally(runs=10, failures=1).at_most(0.95), 4)
        (0.002991, 0.3942)
        """
        runs, failures = self.different, self.failures
        if failures >= runs:
            return 1.0
        low, high = failures / runs, 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if _chance(failures, runs, middle) > 1 - confidence:
                low = middle
            else:
                high = middle
        return high


def runs_needed(rate: float, confidence: float) -> int:
    """How many runs without a failure show, with ``confidence``, that the rate of failures is below ``rate``.

    >>> runs_needed(0.001, 0.95), runs_needed(0.5, 0.9)
    (2995, 4)
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))


def _chance(most: int, runs: int, rate: float) -> float:
    """The probability of at most ``most`` failures in ``runs``, each with probability ``rate``."""
    if rate >= 1:
        return 0.0
    if rate <= 0:
        return 1.0
    term = runs * math.log1p(-rate)
    total = math.exp(term)
    for count in range(1, most + 1):
        term += math.log((runs - count + 1) / count) + math.log(rate) - math.log1p(-rate)
        total += math.exp(term)
    return total
