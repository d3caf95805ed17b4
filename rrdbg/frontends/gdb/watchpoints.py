"""GDB's watchpoints after a jump.

GDB compares a watched value with the one that it saw last, and reports a hit only if they differ. After a jump it holds
the value of another time: it would show a wrong old value, or pass a hit over without a word. Enabling a watchpoint
makes it read the value anew, on every GDB that was tried (13.1, 16.3, 18.1), one that is enabled already, too.
"""

from __future__ import annotations

import re

import gdb

KINDS = (
    gdb.BP_WATCHPOINT, gdb.BP_HARDWARE_WATCHPOINT, gdb.BP_READ_WATCHPOINT, gdb.BP_ACCESS_WATCHPOINT,
)  # fmt: skip
_NAME = re.compile(r"(?<![\w$.])(?<!->)[A-Za-z_]\w*")


class Watchpoints:
    """Knows to which frames watchpoints on local variables belong.

    GDB deletes such a one when it is enabled where its frame does not exist; it is left alone there.
    """

    def __init__(self) -> None:
        self._frames: dict[int, gdb.Frame] = {}
        gdb.events.breakpoint_created.connect(self._created)
        gdb.events.breakpoint_deleted.connect(self._deleted)

    def renew(self) -> None:
        """Have GDB read the watched values where the guest is now."""
        for point in gdb.breakpoints():
            frame = self._frames.get(point.number)
            if point.type in KINDS and point.enabled and (frame is None or frame.is_valid()):
                try:
                    point.enabled = True
                except gdb.error as error:
                    gdb.write(f"rrdbg: watchpoint {point.number} cannot be evaluated here: {error}\n", gdb.STDERR)

    def _created(self, point: gdb.Breakpoint) -> None:
        if point.type in KINDS and _is_local(point.expression or ""):
            self._frames[point.number] = gdb.selected_frame()

    def _deleted(self, point: gdb.Breakpoint) -> None:
        self._frames.pop(point.number, None)


def _is_local(expression: str) -> bool:
    """True if a name in ``expression`` is one of the selected frame's; ``-location`` watches a fixed address."""
    if expression.startswith("-l"):
        return False
    try:
        gdb.selected_frame()
        return any(_needs_frame(name) for name in _NAME.findall(expression))
    except gdb.error:
        return False  # no frame, no locals


def _needs_frame(name: str) -> bool:
    symbol, _ = gdb.lookup_symbol(name)
    return symbol is not None and symbol.needs_frame
