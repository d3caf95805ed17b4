"""A number in the memory of a QEMU of ours that stands still: Linux lets its parent read and write it (proc(5))."""

from __future__ import annotations

import os
import sys

from rrdbg.errors import LinkError

_BYTES = 8


def read_number(pid: int, address: int) -> int:
    """The 64 bits at ``address`` in the process ``pid``.

    :raises LinkError: that is not allowed here.
    """
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int.from_bytes(os.pread(memory, _BYTES, address), sys.byteorder)
        finally:
            os.close(memory)
    except OSError as error:
        raise _not_allowed(pid, error) from None


def write_number(pid: int, address: int, number: int) -> None:
    """Make ``number`` the 64 bits at ``address`` in the process ``pid``.

    :raises LinkError: that is not allowed here.
    """
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(memory, number.to_bytes(_BYTES, sys.byteorder), address)
        finally:
            os.close(memory)
    except OSError as error:
        raise _not_allowed(pid, error) from None


def _not_allowed(pid: int, error: OSError) -> LinkError:
    return LinkError(
        f"The memory of QEMU (pid {pid}) cannot be reached: {error.strerror or error}. The kernel setting "
        "yama.ptrace_scope may forbid it (0 and 1 allow it)."
    )
