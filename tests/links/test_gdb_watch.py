"""When a GDB counts as one that does not get on; no clock is in it, only looks."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rrdbg.errors import Stalled
from rrdbg.links.gdb_watch import ANSWER_SECONDS, LOOK_SECONDS, WORK_SECONDS, GdbWatch, Served
from rrdbg.links.process_state import is_asleep

_TURN = int(ANSWER_SECONDS / LOOK_SECONDS)
_WORK = int(WORK_SECONDS / LOOK_SECONDS)


@contextmanager
def waiting() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing any more."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        os.write(process.stdin.fileno(), b"up")
        os.read(process.stdout.fileno(), 2)
        while not is_asleep(process.pid):
            pass
        yield process


def test_a_movement_may_take_any_time_as_long_as_it_gets_on() -> None:
    beats = iter(range(3 * _WORK))
    watch = GdbWatch(os.getpid(), '"continue"', lambda: Served(busy=True, beat=next(beats) // (_WORK - 1)))
    for _ in range(3 * _WORK):
        watch.look(1, moving=True)


def test_who_serves_it_must_get_on() -> None:
    watch = GdbWatch(os.getpid(), '"continue"', lambda: Served(busy=True, beat=7))
    for _ in range(_WORK):
        watch.look(1, moving=True)
    with pytest.raises(Stalled, match='server has got no further with "continue" for 600 s, and GDB'):
        watch.look(1, moving=True)


@pytest.mark.parametrize(("served", "moving"), [(Served(busy=False, beat=7), True), (None, False)])
def test_when_it_is_its_turn_gdb_must_do_something(served: Served | None, *, moving: bool) -> None:
    with waiting() as process:
        watch = GdbWatch(process.pid, '"continue"', (lambda: served) if served else None)
        for heard in (1, 2):
            for _ in range(_TURN):
                watch.look(heard, moving=moving)
        with pytest.raises(Stalled, match='no answer to "continue", and asked for nothing, for 60 s'):
            watch.look(2, moving=moving)


def test_it_may_work_for_some_minutes() -> None:
    watch = GdbWatch(os.getpid(), '"file vmlinux"', None)
    for _ in range(_WORK):
        watch.look(1, moving=False)
    with pytest.raises(Stalled, match='no answer to "file vmlinux", and asked for nothing, for 600 s'):
        watch.look(1, moving=False)


def test_of_a_movement_elsewhere_nothing_is_known() -> None:
    with waiting() as process:
        watch = GdbWatch(process.pid, "-exec-continue", None)
        for _ in range(2 * _WORK):
            watch.look(1, moving=True)
        watch.look(2, moving=False)
        for _ in range(_TURN - 1):
            watch.look(2, moving=False)
        with pytest.raises(Stalled):
            watch.look(2, moving=False)


def test_one_that_was_stopped_is_known_at_once() -> None:
    """Whatever is done at the other end; but not one that is stopped for a moment, as somebody traces it."""
    beats = iter(range(10))
    with waiting() as process:
        watch = GdbWatch(process.pid, '"rc"', lambda: Served(busy=True, beat=next(beats)))
        for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGSTOP):
            process.send_signal(number)
            if number == signal.SIGSTOP:
                os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            else:
                os.waitid(os.P_PID, process.pid, os.WCONTINUED | os.WNOWAIT)
            watch.look(1, moving=True)
        with pytest.raises(Stalled, match=rf'\(pid {process.pid}\) was stopped by a signal.* while it ran "rc"'):
            watch.look(1, moving=True)
        process.send_signal(signal.SIGCONT)
