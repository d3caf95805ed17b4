"""Where interrupts and exceptions were delivered: the icounts that are not unique.

At an icount without a delivery there is exactly one state of the guest, and QEMU's replay breakpoint
lands on it. At one with deliveries there are several, and on QEMU 10 and 11 a replay breakpoint lands on
any of them. So travel only ever uses a replay breakpoint at a *plain* icount and single-steps from there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum


class Delivery(IntEnum):
    """What was delivered; the values are the replay log's event ids."""

    INTERRUPT = 1
    EXCEPTION = 2


@dataclass(frozen=True, slots=True)
class Deliveries:
    """All deliveries of a recording, in order: parallel sequences of icounts and kinds."""

    icounts: array[int] = field(default_factory=lambda: array("Q"), repr=False)
    kinds: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, Delivery]]) -> Deliveries:
        """Build from (icount, kind) pairs in order."""
        listed = list(pairs)
        return cls(array("Q", (icount for icount, _ in listed)), bytes(kind for _, kind in listed))

    def __len__(self) -> int:
        return len(self.icounts)

    def at(self, icount: int) -> tuple[Delivery, ...]:
        """The deliveries at ``icount``, in order; empty where it is plain."""
        low = bisect_left(self.icounts, icount)
        high = bisect_right(self.icounts, icount, lo=low)
        return tuple(Delivery(kind) for kind in self.kinds[low:high])

    def is_plain(self, icount: int) -> bool:
        """True where ``icount`` alone names one state of the guest."""
        low = bisect_left(self.icounts, icount)
        return low == len(self.icounts) or self.icounts[low] != icount

    def plain_at_or_before(self, icount: int) -> int:
        """The largest plain icount that is not after ``icount``; 0 if there is none."""
        while icount > 0 and not self.is_plain(icount):
            icount -= 1
        return max(icount, 0)

    def plain_after(self, icount: int) -> int:
        """The smallest plain icount after ``icount``."""
        icount += 1
        while not self.is_plain(icount):
            icount += 1
        return icount

    def between(self, low: int, high: int) -> Sequence[int]:
        """The icounts in ``[low, high]`` at which something is delivered, in order."""
        return self.icounts[bisect_left(self.icounts, low) : bisect_right(self.icounts, high)]

    def any_between(self, low: int, high: int) -> bool:
        """True if something is delivered at an icount in ``[low, high]``."""
        return bisect_left(self.icounts, low) < bisect_right(self.icounts, high)

    def count(self, kind: Delivery, low: int, high: int) -> int:
        """How many deliveries of ``kind`` there are at icounts in ``[low, high]``."""
        return self.kinds.count(kind, bisect_left(self.icounts, low), bisect_right(self.icounts, high))

    def of_kind(self, kind: Delivery, low: int) -> Iterator[int]:
        """The icounts of the deliveries of ``kind`` from ``low`` on, in order; one may come again."""
        first = bisect_left(self.icounts, low)
        return (self.icounts[index] for index in range(first, len(self.icounts)) if self.kinds[index] == kind)

    def after(self, low: int) -> Iterator[tuple[int, Delivery]]:
        """Those at icounts from ``low`` on, in order, with their kinds."""
        first = bisect_left(self.icounts, low)
        return ((self.icounts[index], Delivery(self.kinds[index])) for index in range(first, len(self.icounts)))
