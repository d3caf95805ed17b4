"""Which processors the threads of a replaying QEMU run on, and which of them has to wait.

At each event of the log QEMU's threads hand over to each other: the one that executes the guest, the main loop, and
the monitor's own I/O thread, which is woken for nothing. On one processor that is a switch, on two it wakes the other
one up. Of 10 s of UEFI that spins, replayed for 15 s on a busy machine, 41 % were done with nothing of this, 73 % on
one processor in batches, and 87 % with the I/O thread idle as well (QEMU 7.2, 10.0 and 11.1 alike).

Others may keep to a processor, too: two sessions that each chose the first one replayed a Debian boot in 48 s instead
of 24 beside a second processor that had nothing to do. So a machine that had to wait for others takes another one.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NAMED_THREADS = ("-name", "debug-threads=on")
"""Options with which QEMU gives its threads names; 11.1 does so anyway."""

_MONITOR = "IO mon_iothread"
_CPU = ("ALL CPUs/TCG", "CPU 0/TCG")
"""What QEMU calls the thread that executes the guest, up to some version after 7.2 and since then."""
_CAP_SYS_NICE = 23
_NICE_RANGE = 20

_CROWDED = 0.25
"""The part of its time that a guest waits for other programs on a processor which is worth leaving."""

_TELLING_NS = 50_000_000
"""What is shorter says nothing: a single slice of another program's takes some milliseconds."""


class Processors:
    """The processors that this process may use, shared out among its machines that run.

    The first one is ``first``; None is any, since other processes do the same.
    """

    def __init__(self, first: int | None = None) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        first = (random.randrange(len(allowed)) if first is None else first) % len(allowed)
        self._running = Counter(dict.fromkeys([*allowed[first:], *allowed[:first]], 0))

    @property
    def all(self) -> Set[int]:
        """Their numbers."""
        return self._running.keys()

    @contextmanager
    def one(self) -> Iterator[int]:
        """The processor with the fewest machines, which has one more meanwhile."""
        chosen = min(self._running, key=self._running.__getitem__)
        self._running[chosen] += 1
        try:
            yield chosen
        finally:
            self._running[chosen] -= 1

    def avoid(self, processor: int) -> None:
        """Have ``processor`` be the last one that is chosen of those with as few machines: others are busy there."""
        self._running[processor] = self._running.pop(processor)


class Threads:
    """The threads of the QEMU ``pid``, as they were when it had started; others follow the one that made them."""

    def __init__(self, pid: int, processors: Processors) -> None:
        self._processors = processors
        self._all = []
        self._monitors = []
        self._cpus = []
        with contextlib.suppress(OSError):  # one that ends meanwhile
            for thread in Path(f"/proc/{pid}/task").iterdir():
                self._all.append(int(thread.name))
                name = (thread / "comm").read_text().rstrip()
                if name == _MONITOR:
                    self._monitors.append(int(thread.name))
                elif name in _CPU:
                    self._cpus.append(int(thread.name))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep them all to one processor, and have the monitor's thread wait until nobody else wants that.

        Afterwards that one is as before: a machine that stands must answer at once, and on a busy host a thread that is
        idle by policy waits for seconds. Where it could not be made one of the others again it is left alone.
        """
        with self._processors.one() as processor:
            _keep(self._all, {processor})
            if _may_raise_priority():
                _schedule(self._monitors, os.SCHED_IDLE)
            before = self._spent()
            try:
                yield
            finally:
                # A coin decides, else two that meet would leave together, and meet again.
                if _crowded(before, self._spent()) and random.random() < 0.5:
                    self._processors.avoid(processor)
                _keep(self._monitors, self._processors.all)
                if _may_raise_priority():
                    _schedule(self._monitors, os.SCHED_BATCH)

    def _spent(self) -> _Spent:
        """What the threads have spent so far."""
        times = {thread: _times(thread) for thread in self._all}
        waited = sum(times[thread][1] for thread in self._cpus)
        return _Spent(time.monotonic_ns(), waited, sum(times[thread][0] for thread in times.keys() - set(self._cpus)))

    @contextmanager
    def main_loop_first(self) -> Iterator[None]:
        """Have the main loop, whenever it has something to do, interrupt the thread that executes the guest.

        Only where that thread may be made one of the others again.
        """
        if not _may_raise_priority():
            yield
            return
        with self._processors.one() as processor:
            _keep(self._all, {processor})
            _schedule(self._cpus, os.SCHED_IDLE)
            try:
                yield
            finally:
                _schedule(self._cpus, os.SCHED_BATCH)
                _keep(self._monitors, self._processors.all)


@dataclass(frozen=True, slots=True)
class _Spent:
    """Nanoseconds: the time, how long the guest has waited for a processor, and how long QEMU's other threads ran."""

    now: int
    waited: int
    others: int


def _crowded(before: _Spent, after: _Spent) -> bool:
    """Whether the guest had to wait for other programs, not only for QEMU's own threads."""
    passed = after.now - before.now
    foreign = (after.waited - before.waited) - (after.others - before.others)
    return passed >= _TELLING_NS and foreign > _CROWDED * passed


def _times(thread: int) -> tuple[int, int]:
    """How long ``thread`` has run, and how long it has waited to run: nanoseconds; 0 of a kernel that does not tell."""
    try:
        ran, waited, _ = Path(f"/proc/{thread}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(ran), int(waited)


@cache
def _may_raise_priority() -> bool:
    """Whether a thread may leave SCHED_IDLE again, which takes the rights that a lower nice value takes (sched(7))."""
    if resource.getrlimit(resource.RLIMIT_NICE)[0] >= _NICE_RANGE:
        return True
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> _CAP_SYS_NICE & 1)


def _keep(threads: list[int], processors: Set[int]) -> None:
    for thread in threads:
        # One may have ended; and where a container forbids it, it only takes longer.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(thread, processors)


def _schedule(threads: list[int], policy: int) -> None:
    for thread in threads:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(thread, policy, os.sched_param(0))
