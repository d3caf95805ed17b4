"""The course of a run: at which instructions something came to the guest, small enough to keep for thousands.

That is interrupts, exceptions, keys, serial bytes and packets. Two runs whose courses are the same have gone the same
way as far as these are concerned, and the second one has shown nothing new. A course is a hash of its beginning after
each of some numbers of events, so the common part of two is known to within 2 %.
"""

from __future__ import annotations

import functools
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import itemgetter

from rrdbg.model.timeline.deliveries import Deliveries

_EACH = 64
"""Samples are at each event up to this many, then at every second one up to twice as many, and so on."""

_BYTES = 8
"""Of a sample."""


@dataclass(frozen=True, slots=True)
class Course:
    """One run's: so many events, and the ``samples``, one behind the other.

    ``ending`` is a hash of all of it, if the guest came to its own end; empty if we ended it.
    """

    count: int
    samples: bytes
    ending: bytes

    @classmethod
    def of(cls, deliveries: Deliveries, end: int | None, inputs: Sequence[tuple[int, int]] = ()) -> Course:
        """The course of a run that the guest ended at ``end``; None if we ended it.

        ``inputs`` are icount and kind of what came besides the deliveries.
        """
        icounts, kinds = deliveries.icounts, deliveries.kinds
        if inputs:
            came = sorted((*zip(icounts, kinds, strict=True), *inputs), key=itemgetter(0))
            icounts, kinds = array("Q", map(itemgetter(0), came)), bytes(map(itemgetter(1), came))
        count, done, samples = len(icounts), 0, bytearray()
        running = blake2b(digest_size=_BYTES)
        for number in (*sample_numbers(count), count):
            running.update(icounts[done:number].tobytes() + kinds[done:number])
            samples += running.digest()
            done = number
        del samples[-_BYTES:]  # of the whole, which is a sample only by chance
        running.update(f"ends at {end}".encode())
        return cls(count, bytes(samples), b"" if end is None else running.digest())

    @property
    def key(self) -> bytes:
        """Of two courses one begins with the other's if it shows nothing that the other does not.

        It is empty where we ended a run to which nothing came: nobody knows what that is like.
        """
        return self.samples + self.ending

    def common(self, other: Course) -> int:
        """How many events both have at the same places before they part; a lower bound within 2 %."""
        numbers = sample_numbers(min(self.count, other.count))
        # A sample is of all before it, so where one differs all later ones do.
        places = range(0, len(numbers) * _BYTES, _BYTES)
        alike = bisect_left(places, 1, key=lambda at: self.samples[at : at + _BYTES] != other.samples[at : at + _BYTES])
        return numbers[alike - 1] if alike else 0

    def same_as(self, other: Course) -> bool:
        """Whether one shows nothing that the other does not, as far as both were recorded."""
        ours, theirs = self.key, other.key
        return bool(ours and theirs) and (ours.startswith(theirs) or theirs.startswith(ours))


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
        if not key:
            return None
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
    """After which events of ``count`` a sample is taken.

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
