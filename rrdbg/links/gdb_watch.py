"""Noticing a GDB that no longer gets on.

How long a command takes says nothing: a movement through a long recording takes its time. What counts is whether
anything is done. As long as GDB waits for whoever serves it, that one must get on; at other times GDB must say
something, ask for something, or at least work. A GDB that was stopped by a signal does nothing, and is known at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rrdbg.errors import Stalled
from rrdbg.links.process_state import cpu_seconds, is_asleep, is_stopped

LOOK_SECONDS = 0.5

ANSWER_SECONDS = 60.0
"""How long GDB may do nothing at all when it is its turn."""

WORK_SECONDS = 600.0
"""How long there may be no sign of progress while somebody is at work: GDB, as it reads symbols or runs a script, or
whoever serves it. That one has watchdogs of its own, each of a minute or less; this is for what none of them sees."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is done at the other end of GDB's connection.

    ``busy`` as long as GDB waits for an answer; ``beat`` is another value whenever something was done.
    """

    busy: bool
    beat: object


class GdbWatch:
    """Looks after one command of the GDB with process id ``pid``, ``command`` in the user's words.

    ``served`` tells what is done at the other end of its connection; where nobody knows, a movement may take any time.
    :meth:`look` is to be called every :data:`LOOK_SECONDS`. Looks are counted, and not the time: while rrdbg itself
    stands still, what GDB says lies unread.
    """

    def __init__(self, pid: int, command: str, served: Callable[[], Served] | None) -> None:
        self._pid = pid
        self._command = command
        self._served = served
        self._seen: object = None
        self._used = 0.0
        self._looks = self._idle = 0
        """How many looks in a row there was no sign of progress, and for how many GDB has done nothing at all."""
        self._stopped = False

    def look(self, heard: int, *, moving: bool) -> None:
        """Notice whether GDB gets on, which has said ``heard`` things so far; ``moving`` if it says the guest runs.

        :raises Stalled: it does not.
        """
        # Whoever traces GDB stops it for a moment at each system call: only twice in a row counts.
        was, self._stopped = self._stopped, is_stopped(self._pid)
        if was and self._stopped:
            raise Stalled(
                f"GDB (pid {self._pid}) was stopped by a signal, such as SIGSTOP, while it ran {self._command}, "
                "and so was ended."
            )
        served = self._served() if self._served else None
        used, self._used = self._used, cpu_seconds(self._pid)
        if (heard, served) != self._seen:
            self._seen, self._looks, self._idle = (heard, served), 0, 0
            return
        self._looks += 1
        self._idle = self._idle + 1 if used == self._used and is_asleep(self._pid) else 0
        silent = self._looks * LOOK_SECONDS
        if served is None and moving:
            return
        if served and served.busy:
            if silent >= WORK_SECONDS:
                raise Stalled(
                    f"rrdbg's server has got no further with {self._command} for {silent:.0f} s, and GDB, which waits "
                    "for it, was ended."
                )
        elif self._idle * LOOK_SECONDS >= ANSWER_SECONDS or silent >= WORK_SECONDS:
            raise Stalled(
                f"GDB gave no answer to {self._command}, and asked for nothing, for {silent:.0f} s, and so was ended."
            )
