"""The guest's clock: what time it is in the guest at a position, and where it is a given time.

A recorded guest's clock is made of its instructions: with ``-icount shift=N`` each one takes 2^N ns. It also
jumps, while the guest halts and waits for a timer; each jump is in the log. The time of day is that on top of the
date which ``-rtc base=`` gave the guest's real-time clock.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rrdbg.errors import UsageError
from rrdbg.model.timeline.position import Position

_DURATION = re.compile(r"(?P<sign>[+-]?)(?P<number>\d+(?:\.\d+)?)(?P<unit>s|ms|us)")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*")
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3}


@dataclass(frozen=True, slots=True)
class GuestTime:
    """The time of day (UTC) in the guest, and the nanoseconds since its start; ``exact`` if not only about right."""

    moment: datetime
    elapsed: int
    exact: bool


@dataclass(frozen=True, slots=True)
class GuestClock:
    """The clock of one recording.

    From the icount ``icounts[i]`` on the guest has run for ``times[i]`` nanoseconds, and for ``rate`` more with each
    instruction. ``rate`` is None where QEMU changed it on the way (``shift=auto``): times are then interpolated.
    Without ``idle_known`` the jumps stand nowhere, and the clock is behind by all the time that the guest idled.
    """

    base: datetime
    rate: int | None
    icounts: array[int] = field(default_factory=lambda: array("Q", [0]))
    times: array[int] = field(default_factory=lambda: array("Q", [0]))
    idle_known: bool = True

    @property
    def exact(self) -> bool:
        """False where times are only about right."""
        return self.rate is not None and self.idle_known

    def elapsed(self, position: Position) -> int:
        """Nanoseconds of guest time since the start of the recording.

        The clock jumps while the guest halts at an icount, before the interrupt that wakes it is delivered there.
        """
        find = bisect_right if position.phase else bisect_left
        index = max(find(self.icounts, position.icount) - 1, 0)
        since = position.icount - self.icounts[index]
        if self.rate is not None:
            return self.times[index] + since * self.rate
        if index + 1 == len(self.icounts) or since == 0:
            return self.times[index]
        length = self.icounts[index + 1] - self.icounts[index]
        return self.times[index] + (self.times[index + 1] - self.times[index]) * since // length

    def at(self, position: Position) -> datetime:
        """The time of day in the guest, in UTC, to the microsecond."""
        return self.base + timedelta(microseconds=self.elapsed(position) // 1000)

    def epoch_nanoseconds(self, position: Position) -> int:
        """The time in the guest in nanoseconds since 1970, UTC."""
        return int(self.base.timestamp()) * 10**9 + self.elapsed(position)

    def find(self, nanoseconds: int, end: Position) -> Position:
        """The first position at which so much has elapsed, or ``end``."""
        low, high = 0, end.icount
        while low < high:
            middle = (low + high) // 2
            if self.elapsed(Position(middle)) < nanoseconds:
                low = middle + 1
            else:
                high = middle
        return Position(low)

    def read(self, text: str, *, here: Position, end: Position) -> Position:
        """The position at a time that :func:`is_time` knows: since the start, since ``here``, or of a day.

        :raises UsageError: it is no time, or the guest's clock never shows it.
        """
        if match := _DURATION.fullmatch(text):
            whole, _, fraction = match["number"].partition(".")
            digits = len(str(_NANOSECONDS[match["unit"]])) - 1
            length = int(whole) * 10**digits + int(fraction.ljust(digits, "0")[:digits] or 0)
            sign = match["sign"]
            wanted = self.elapsed(here) + (length if sign == "+" else -length) if sign else length
        else:
            wanted = (_read_date(text) - self.base) // timedelta(microseconds=1) * 1000
        last = self.elapsed(end)
        if not 0 <= wanted <= last:
            raise UsageError(
                f"The guest's clock never shows {text} in this recording: it runs from {self._show(0)} to "
                f"{self._show(last)}, that is for {last / 1e9:.6f} s."
            )
        return self.find(wanted, end)

    def _show(self, nanoseconds: int) -> str:
        return format_time(self.base + timedelta(microseconds=nanoseconds // 1000))


def is_time(text: str) -> bool:
    """True if ``text`` looks like a time: ``2026-11-22T10:00:03``, ``12.5s``, ``+20ms``, ``-7us``."""
    return bool(_DURATION.fullmatch(text) or _DATE.fullmatch(text))


def format_time(moment: datetime) -> str:
    """A time of day as :meth:`GuestClock.read` takes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def parse_base(text: str) -> datetime:
    """The date of ``-rtc base=``, in UTC; a day alone is its midnight.

    :raises UsageError: it is none.
    """
    return _read_date(text)


def _read_date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text}' is not a time; write 2026-11-22T10:00:03, 12.5s or +20ms.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
