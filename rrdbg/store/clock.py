"""Reading the guest's clock out of a replay log.

With a fixed ``shift`` only the jumps need the log. While the guest halts QEMU sleeps, and then lets the clock jump by
what its clock CLOCK_VIRTUAL_RT went on meanwhile (icount-common.c, 7.2 to 11.1). In the log that is:

* A sleep begins with the reading after a checkpoint WARP_START, unless it goes on already; the first one with 0.
* It ends with the reading after a checkpoint WARP_ACCOUNT; or when its timer expires, with the second reading after a
  checkpoint VIRTUAL_RT. That one is only a look at how long to go on sleeping unless the guest's own timers
  (CLOCK_VIRTUAL) expire next, or the guest goes on, with no other reading.
* If that happens without any second reading there was nothing to sleep for.

With ``sleep=off`` idle time is over at once, and no event tells how long it was for the guest.

With ``shift=auto`` QEMU changes the rate to keep near CLOCK_VIRTUAL_RT, whose readings are then taken for the time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from rrdbg.model.machine.invocation import Invocation
from rrdbg.model.timeline.clock import GuestClock, parse_base
from rrdbg.store.checkpoints import Mark, thinned
from rrdbg.store.logevents import events
from rrdbg.store.logformat import Kind

MARKS = (
    Kind.CLOCK_VIRTUAL_RT,
    Kind.CHECKPOINT_CLOCK_WARP_START,
    Kind.CHECKPOINT_CLOCK_WARP_ACCOUNT,
    Kind.CHECKPOINT_CLOCK_VIRTUAL,
    Kind.CHECKPOINT_CLOCK_VIRTUAL_RT,
)
"""The kinds of events from which the clock's jumps are read."""


_LATEST = (1 << 63) - 1
"""In nanoseconds: 292 years."""


def read_clock(log: Path, invocation: Invocation) -> GuestClock:
    """The clock of the recording that ``invocation`` made.

    :raises LogError: the log is damaged.
    """
    base = _base(log, invocation.clock_base)
    if invocation.shift == "auto":
        return GuestClock(base, None, *_readings(log))
    rate = 1 << int(invocation.shift)
    if not invocation.sleeps:
        return GuestClock(base, rate, idle_known=False)
    return GuestClock(base, rate, *jumps(thinned(log, MARKS), rate))


def first_moment(log: Path) -> float:
    """The host's time when the guest first asked for it, or else when the log was written, in seconds since 1970.

    :raises LogError: the log is damaged.
    """
    event = next(iter(events(log, (Kind.CLOCK_HOST,))), None)
    return event.data / 1e9 if event and isinstance(event.data, int) else log.stat().st_mtime


def _base(log: Path, text: str) -> datetime:
    """The date that ``-rtc base=`` gives; a clock that began at the host's time does so in the log."""
    if text in ("utc", "localtime"):
        return datetime.fromtimestamp(int(first_moment(log)), UTC)
    return parse_base(text)


def jumps(marks: Iterable[Mark], rate: int) -> tuple[array[int], array[int]]:
    """Where the clock jumps, and the times it jumps to, from the log's events of the kinds :data:`MARKS`.

    More than two equal checkpoints in a row say no more than two.
    """
    icounts, times = array("Q", [0]), array("Q", [0])
    bias = 0
    asleep: int | None = 0
    looked: int | None = None
    last, before = Kind.END, Kind.END

    def wake(icount: int, now: int | None) -> None:
        nonlocal bias, asleep, looked
        if asleep is not None and now is not None:
            bias += now - asleep
            icounts.append(icount)
            # A log that nobody's QEMU has written may say anything.
            times.append(min(max(icount * rate + bias, 0), _LATEST))
        asleep = looked = None

    for icount, kind, reading in marks:
        if last is Kind.CHECKPOINT_CLOCK_WARP_ACCOUNT:
            wake(icount, looked if reading is None else reading)
        elif reading is None:
            if kind is Kind.CHECKPOINT_CLOCK_VIRTUAL:
                wake(icount, looked)
        elif last is Kind.CHECKPOINT_CLOCK_WARP_START:
            asleep = reading if asleep is None else asleep
        elif before is Kind.CHECKPOINT_CLOCK_VIRTUAL_RT:
            looked = reading
        before, last = last, kind
    return icounts, times


def _readings(log: Path) -> tuple[array[int], array[int]]:
    icounts, times = array("Q", [0]), array("Q", [0])
    for event in events(log, (Kind.CLOCK_VIRTUAL_RT,)):
        assert isinstance(event.data, int)
        if event.icount > icounts[-1]:
            icounts.append(event.icount)
            times.append(max(event.data, times[-1]))
    return icounts, times
