"""A QEMU that waits (``-incoming defer``) takes up a state from a file that it has open."""

from __future__ import annotations

import os

from rrdbg.links.watchdog import Process
from rrdbg.model.machine.safety import Versions

FILE_URI = Versions(first=(8, 2))
"""QEMU that takes a state by ``file:``, and opens RAM to be read only; older ones take it by ``fd:``, which 11.1 does
not for a file."""

_TO_BE_ACTIVATED = Versions(first=(10, 0))
"""QEMU that takes up its images only when it is told to go on, which the gdbstub does not do."""


def write_state(file: int, state: bytes) -> None:
    """Make ``state`` all that ``file`` holds."""
    os.ftruncate(file, 0)
    done = 0
    while done < len(state):
        done += os.pwrite(file, memoryview(state)[done:], done)


async def take_up(process: Process, file: int, version: str) -> None:
    """Have ``process``, a QEMU of that ``version``, take up the state in its ``file``, and its images with that.

    :raises QmpError: QEMU refuses it.
    :raises QemuDied: it cannot take it, and has ended.
    :raises Stalled: it hangs.
    """
    await process.guard(process.qmp.load_state(f"file:/dev/fd/{file}" if version in FILE_URI else f"fd:{file}"))
    if version in _TO_BE_ACTIVATED:
        await process.guard(process.qmp.execute("blockdev-set-active", active=True))
