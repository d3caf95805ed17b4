"""A child that is held for a moment maps what it is told to, and goes on as if nothing had been."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rrdbg.links.tracee import Tracee

PAGE = 4096
PLACE = 0x5000_0000_0000
"""Where nothing lies in a new process."""

_CHILD = """
import os, signal, sys
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
print("ready", flush=True)
line = sys.stdin.readline()
print(line.strip(), len(seen), flush=True)
"""


@contextlib.contextmanager
def child(*passed: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=passed
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "pages"
    path.write_bytes(b"".join(bytes([number]) * PAGE for number in range(1, 9)))
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def memory(pid: int, address: int, length: int) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as opened:
        opened.seek(address)
        return opened.read(length)


def test_what_it_maps_is_there_and_it_goes_on_reading(file: int) -> None:
    assert Tracee.possible, "tests run on a host whose registers are known"
    with child(file) as process:
        with Tracee(process.pid) as held:
            held.map(PLACE, 2 * PAGE, file, 3 * PAGE)
            held.map(PLACE + 2 * PAGE, PAGE, -1, 0)
            held.map(PLACE + PAGE, PAGE, file, 0)
        assert memory(process.pid, PLACE, 3 * PAGE) == bytes([4]) * PAGE + bytes([1]) * PAGE + bytes(PAGE)
        out, _ = process.communicate("again\n", timeout=20)
        assert out == "again 0\n"
        assert process.returncode == 0


def test_a_signal_that_comes_meanwhile_is_not_lost(file: int) -> None:
    with child(file) as process:
        with Tracee(process.pid) as held:
            os.kill(process.pid, signal.SIGUSR1)
            for number in range(8):
                held.map(PLACE + number * PAGE, PAGE, file, number * PAGE)
        assert memory(process.pid, PLACE, 8 * PAGE) == b"".join(bytes([number]) * PAGE for number in range(1, 9))
        out, _ = process.communicate("again\n", timeout=20)
        assert out == "again 1\n"


def test_what_cannot_be_mapped_is_refused_and_it_goes_on(file: int) -> None:
    with child() as process:
        with pytest.raises(OSError, match="Bad file descriptor"), Tracee(process.pid) as held:
            held.map(PLACE, PAGE, file + 200, 0)
        with pytest.raises(OSError, match="Invalid argument"), Tracee(process.pid) as held:
            held.map(PLACE + 1, PAGE, -1, 0)
        out, _ = process.communicate("again\n", timeout=20)
        assert out == "again 0\n"


def test_one_that_is_killed_is_told_and_its_status_is_left_to_who_waits_for_it(file: int) -> None:
    with child(file) as process:
        with Tracee(process.pid) as held:
            process.kill()
            with pytest.raises(ProcessLookupError):
                map_for_ever(held, file)
        assert process.wait(20) == -signal.SIGKILL
        with pytest.raises(OSError, match=r"No such process|not permitted"), Tracee(process.pid):
            pass


def map_for_ever(held: Tracee, file: int) -> None:
    while True:
        held.map(PLACE, PAGE, file, 0)


def test_mappings_are_private(file: int) -> None:
    with child(file) as process:
        with Tracee(process.pid) as held:
            held.map(PLACE, PAGE, file, 0)
        with Path(f"/proc/{process.pid}/mem").open("r+b", buffering=0) as opened:
            opened.seek(PLACE)
            opened.write(b"\xff" * PAGE)
        assert memory(process.pid, PLACE, PAGE) == b"\xff" * PAGE
        with mmap.mmap(file, PAGE, access=mmap.ACCESS_READ) as untouched:
            assert untouched[:] == b"\1" * PAGE
