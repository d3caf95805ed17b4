"""What GDB remembers of the guest, and must forget after a jump that it has not made itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import gdb

from rrdbg.frontends.gdb.watchpoints import Watchpoints
from rrdbg.model.program.code_mode import lines_to_see

_HOOK = "hookpost-monitor"


class Caches:
    """GDB's caches of registers, frames, memory and stack, and the values that its watchpoints have seen."""

    def __init__(self) -> None:
        self._watchpoints = Watchpoints()

    def forget(self) -> None:
        """Make GDB read everything anew."""
        follow_mode()
        gdb.execute("maintenance flush register-cache", to_string=True)  # frames, too
        gdb.execute("maintenance flush dcache", to_string=True)  # stack and code, too
        self._watchpoints.renew()


def follow_mode() -> None:
    """Have GDB see an x86 CPU in the mode that it is in, and read its code so, if the target is an rrdbg."""
    connection = gdb.selected_inferior().connection
    if not isinstance(connection, gdb.RemoteTargetConnection):
        return
    _see_as(connection, (connection.send_packet("qRrdbg.mode") or b"").decode())


@contextlib.contextmanager
def as_described() -> Iterator[None]:
    """GDB sees the CPU inside as QEMU describes it, by whose numbers of registers code is compiled."""
    connection = gdb.selected_inferior().connection
    if not isinstance(connection, gdb.RemoteTargetConnection):
        yield
        return
    mode = (connection.send_packet("qRrdbg.described") or b"").decode()
    if _sees_as(mode):
        yield
        return
    _see_as(connection, mode)
    try:
        yield
    finally:
        follow_mode()


def _see_as(connection: gdb.RemoteTargetConnection, mode: str) -> None:
    if _sees_as(mode):
        return
    connection.send_packet(f"QRrdbg.layout:{mode}")
    *tried, last = lines_to_see(mode)
    for line in tried:
        with contextlib.suppress(gdb.error):
            gdb.execute(line, to_string=True)
    gdb.execute(last, to_string=True)


def _sees_as(mode: str) -> bool:
    """Whether GDB works in ``mode`` already, or there is none."""
    return not mode or mode == gdb.selected_inferior().architecture().name()


def hook_monitor() -> None:
    """Have GDB look again after each ``monitor`` command, unless the user has a hook of his own there."""
    try:
        gdb.execute(f"show user {_HOOK}", to_string=True)
    except gdb.error:
        gdb.execute(f"define {_HOOK}\nrrdbg look-again\nend")
