"""The course of a run: at which instructions interrupts and exceptions came, small enough to keep for thousands.

Two runs whose courses are the same have gone the same way as far as interrupts are concerned, and the second one has
shown nothing new. A course is a hash of its beginning after each of some numbers of deliveries, so the common part of
two is known to within 2 %.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from hashlib import blake2b

from rrdbg.model.timeline.deliveries import Deliveries

_EACH = 64
"""Samples are at each delivery up to this many, then at every second one up to twice as many, and so on."""


@dataclass(frozen=True, slots=True)
class Course:
    """One run's; ``end`` is the instruction at which the guest came to its own end, None where we ended it."""

    count: int
    samples: tuple[bytes, ...]
    end: int | None

    @classmethod
    def of(cls, deliveries: Deliveries, end: int | None) -> Course:
        """The course of a run with these deliveries."""
        count, done, samples = len(deliveries), 0, []
        running = blake2b(digest_size=8)
        for number in sample_numbers(count):
            running.update(deliveries.icounts[done:number].tobytes() + deliveries.kinds[done:number])
            samples.append(running.digest())
            done = number
        return cls(count, tuple(samples), end)

    def common(self, other: Course) -> int:
        """How many deliveries both have at the same places before they part; a lower bound within 2 %."""
        numbers = sample_numbers(min(self.count, other.count))
        alike = 0
        for number, ours, theirs in zip(numbers, self.samples, other.samples, strict=False):
            if ours != theirs:
                break
            alike = number
        return alike

    def same_as(self, other: Course) -> bool:
        """Whether one shows nothing that the other does not, as far as both were recorded."""
        if self.end is not None and other.end is not None and (self.end, self.count) != (other.end, other.count):
            return False
        place = len(sample_numbers(min(self.count, other.count))) - 1
        return self.samples[place] == other.samples[place] if place >= 0 else self.count == other.count


@functools.lru_cache(maxsize=4096)
def sample_numbers(count: int) -> tuple[int, ...]:
    """After which deliveries of ``count`` a sample is taken.

    >>> list(sample_numbers(3)), list(sample_numbers(70))[-5:], len(sample_numbers(100_000))
    ([1, 2, 3], [66, 67, 68, 69, 70], 737)
    """
    numbers: list[int] = []
    step, number = 1, 0
    while number + step <= count:
        number += step
        numbers.append(number)
        if number >= 2 * _EACH * step:
            step *= 2
    return tuple(numbers)
