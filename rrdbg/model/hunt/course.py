"""The course of a run: at which instructions interrupts and exceptions came, small enough to keep for thousands.

Two runs whose courses are the same have gone the same way as far as interrupts are concerned, and the second one has
shown nothing new. A course is a hash of its beginning after each of some numbers of deliveries, so the common part of
two is known to within 2 %.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from dataclasses import dataclass
from hashlib import blake2b

from rrdbg.model.timeline.deliveries import Deliveries

_EACH = 64
"""Samples are at each delivery up to this many, then at every second one up to twice as many, and so on."""

_BYTES = 8
"""Of a sample."""

_NOTHING = bytes(_BYTES)
"""How a run ends of which nothing is known, as nothing came: it is like all others of that kind, and like no other."""


@dataclass(frozen=True, slots=True)
class Course:
    """One run's: so many deliveries, and the ``samples``, one behind the other.

    ``ending`` is a hash of all of it, if the guest came to its own end; empty if we ended it.
    """

    count: int
    samples: bytes
    ending: bytes

    @classmethod
    def of(cls, deliveries: Deliveries, end: int | None) -> Course:
        """The course of a run with these deliveries, that the guest ended at ``end``; None if we ended it."""
        count, done, samples = len(deliveries), 0, bytearray()
        running = blake2b(digest_size=_BYTES)
        for number in (*sample_numbers(count), count):
            running.update(deliveries.icounts[done:number].tobytes() + deliveries.kinds[done:number])
            samples += running.digest()
            done = number
        del samples[-_BYTES:]  # of the whole, which is a sample only by chance
        running.update(f"ends at {end}".encode())
        ending = b"" if end is None else running.digest()
        return cls(count, bytes(samples), ending or (b"" if count else _NOTHING))

    @property
    def key(self) -> bytes:
        """Of two courses one begins with the other's if it shows nothing that the other does not."""
        return self.samples + self.ending

    def common(self, other: Course) -> int:
        """How many deliveries both have at the same places before they part; a lower bound within 2 %."""
        numbers = sample_numbers(min(self.count, other.count))
        # A sample is of all before it, so where one differs all later ones do.
        places = range(0, len(numbers) * _BYTES, _BYTES)
        alike = bisect_left(places, 1, key=lambda at: self.samples[at : at + _BYTES] != other.samples[at : at + _BYTES])
        return numbers[alike - 1] if alike else 0

    def same_as(self, other: Course) -> bool:
        """Whether one shows nothing that the other does not, as far as both were recorded."""
        return self.key.startswith(other.key) or other.key.startswith(self.key)


class Courses:
    """Courses that all differ, each with the number of its run; one more is looked up in no time among thousands.

    >>> from rrdbg.model.timeline.deliveries import Delivery
    >>> first, cut = (Course.of(Deliveries.of((i, Delivery.INTERRUPT) for i in range(n)), None) for n in (9, 5))
    >>> courses = Courses()
    >>> courses.add(first, 1), courses.add(cut, 2)
    (None, 1)
    """

    def __init__(self) -> None:
        # Sorted, and none begins with another: then only its neighbours can be the same as one more.
        self._keys: list[bytes] = []
        self._runs: list[int] = []

    def add(self, course: Course, run: int) -> int | None:
        """Which run has been the same as this one; if none has it is kept, and the answer is None."""
        key = course.key
        place = bisect_left(self._keys, key)
        if place < len(self._keys) and self._keys[place].startswith(key):
            return self._runs[place]
        if place and key.startswith(self._keys[place - 1]):
            return self._runs[place - 1]
        self._keys.insert(place, key)
        self._runs.insert(place, run)
        return None


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
