"""Breakpoints' conditions that GDB would judge by itself, with a stop at each hit: written so that it hands them over.

GDB sends a condition to the server if it can compile it. What calls a function of its own, such as ``$_streq``, it
cannot; what compares bytes it can (:mod:`rrdbg.model.program.gdb_functions`).
"""

from __future__ import annotations

import gdb

from rrdbg.errors import RrdbgError
from rrdbg.frontends.gdb.client import Client
from rrdbg.model.program.gdb_functions import compilable, price_of

_KINDS = (gdb.BP_BREAKPOINT, gdb.BP_HARDWARE_BREAKPOINT)


class Conditions:
    """Looks at each condition that is set while GDB is connected to a recording."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: dict[int, str] = {}
        gdb.events.breakpoint_created.connect(self._look)
        gdb.events.breakpoint_modified.connect(self._look)

    def _look(self, point: gdb.Breakpoint) -> None:
        condition = point.condition
        if point.type not in _KINDS or not condition or not self._is_recording():
            return
        price = price_of(condition)
        if price and self._told.get(point.number) != condition:
            self._told[point.number] = condition
            gdb.write(f"rrdbg: {price}\n")
        if price:
            return
        written = compilable(condition)
        if written != condition:
            try:
                point.condition = written
            except gdb.error as error:
                gdb.write(f"rrdbg: breakpoint {point.number}'s condition is judged by GDB: {error}\n", gdb.STDERR)

    def _is_recording(self) -> bool:
        try:
            return self._client.find() is not None
        except RrdbgError:
            return False
