"""The QEMUs that run on this machine."""

from __future__ import annotations

import time
from pathlib import Path

GRACE_SECONDS = 10
"""How long a QEMU may take to die whose rrdbg was killed."""


def qemus_in(directory: Path) -> list[str]:
    """The command lines of running QEMUs that have ``directory`` in them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"qemu-system" in words and bytes(directory) in words:
                found.append(words.decode(errors="replace"))
    return found


def wait_until_gone(directory: Path) -> None:
    """Wait for the end of all that :func:`qemus_in` lists.

    :raises AssertionError: some go on.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while left := qemus_in(directory):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)
