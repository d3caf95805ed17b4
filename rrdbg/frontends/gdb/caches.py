"""What GDB remembers of the guest, and must forget after a jump that it has not made itself."""

from __future__ import annotations

from collections.abc import Callable

import gdb

from rrdbg.frontends.gdb.watchpoints import Watchpoints

_HOOK = "hookpost-monitor"


class Caches:
    """GDB's caches of registers, frames, memory and stack, and the values that its watchpoints have seen.

    ``follow_mode`` has GDB see the CPU as it is by now.
    """

    def __init__(self, follow_mode: Callable[[], None]) -> None:
        self._follow_mode = follow_mode
        self._watchpoints = Watchpoints()

    def forget(self) -> None:
        """Make GDB read everything anew."""
        self._follow_mode()
        gdb.execute("maintenance flush register-cache", to_string=True)  # frames, too
        gdb.execute("maintenance flush dcache", to_string=True)  # stack and code, too
        self._watchpoints.renew()
        # Other extensions (gef, pwndbg) remember, too, until the guest stops or its memory is changed. A write of no
        # bytes sends no packet, and GDB tells all who listen that memory has changed.
        gdb.selected_inferior().write_memory(0, b"")


def hook_monitor() -> None:
    """Have GDB look again after each ``monitor`` command, unless the user has a hook of his own there."""
    try:
        gdb.execute(f"show user {_HOOK}", to_string=True)
    except gdb.error:
        gdb.execute(f"define {_HOOK}\nrrdbg look-again\nend")
