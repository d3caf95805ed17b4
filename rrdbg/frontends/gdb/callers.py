"""A word before GDB's own, where it finds no caller for a function that it does not know."""

from __future__ import annotations

import gdb

from rrdbg.errors import RrdbgError
from rrdbg.frontends.gdb.client import Client
from rrdbg.model.program.no_caller import way_out


class Callers:
    """Tells before ``finish`` and ``up`` how to get to the caller all the same, where the target is an rrdbg."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def tell(self) -> None:
        """Say it if GDB finds none for the innermost frame, whose function it has no name for."""
        try:
            frame = gdb.selected_frame()
            unknown = frame.level() == 0 and frame.name() is None and frame.older() is None
            architecture = frame.architecture().name()
        except gdb.error:
            return  # there is no frame, as GDB says itself
        if unknown and self._is_recording() and (said := way_out(architecture, "rrdbg finish")):
            gdb.write(f"rrdbg: {said}\n")

    def _is_recording(self) -> bool:
        try:
            return self._client.find() is not None
        except RrdbgError:
            return False  # the next stop tells why
