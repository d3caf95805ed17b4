"""The QEMUs that run on this machine, and what else we start."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

GRACE_SECONDS = 60
"""How long a QEMU may take to die whose rrdbg was killed."""


def command_line(pid: int) -> bytes:
    """What a process was started with, a zero byte behind each word; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def qemus_in(directory: Path) -> dict[int, str]:
    """The command lines, by pid, of running QEMUs that have ``directory`` in them."""
    found = {int(entry.name): command_line(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
    return {
        pid: words.decode(errors="replace")
        for pid, words in found.items()
        if b"qemu-system" in words and bytes(directory) in words
    }


def wait_until_gone(directory: Path) -> None:
    """Wait for the end of all that :func:`qemus_in` lists.

    :raises AssertionError: some go on.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while left := qemus_in(directory):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)


def wait_until_swept(temporary: Path) -> None:
    """Wait until no folder of ours is left in ``temporary``.

    :raises AssertionError: some are.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while left := list(temporary.glob("*rrdbg-*")) + list(temporary.glob(".rrdbg-*")):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


def children(pid: int, name: str) -> list[int]:
    """The pids of processes called ``name`` that ``pid`` has started, and their children.

    One of another Debian's (scripts/other-qemu) is called by its loader's name.
    """

    def loaded(own: int, called: str) -> bool:
        return called.startswith("ld-linux") and any(
            word.rpartition(b"/")[2] == name.encode() for word in command_line(own).split(b"\0")
        )

    return [own for own, called in _family(pid) if called.startswith(name) or loaded(own, called)]


def qemus_of(pid: int) -> list[int]:
    """The pids of QEMUs that ``pid`` has started, or its children; a QEMU may be called by a loader's name."""
    return [own for own, _ in _family(pid) if b"qemu-system" in command_line(own)]


def _family(pid: int) -> list[tuple[int, str]]:
    """A process and all that it has started, and they, each with its name."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [
        (int(own), int(parent), called) for own, parent, called in (line.split(None, 2) for line in listed.splitlines())
    ]
    family = {pid}
    while more := {own for own, parent, _ in rows if parent in family} - family:
        family |= more
    return [(own, called) for own, _, called in rows if own in family]
