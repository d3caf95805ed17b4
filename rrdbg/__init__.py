"""rrdbg: a reverse debugger for QEMU record/replay.

``rrdbg.open`` and ``rrdbg.record`` begin the Python API (docs/reference/api.md). It is imported when a name of it is
first used: GDB's own interpreter, too, imports parts of this package, and has none of the API's dependencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rrdbg.errors import Interrupted, RrdbgError
    from rrdbg.frontends.api import AsyncReplay, Replay, open_recording, record, record_async
    from rrdbg.frontends.bisect.python import Skip
    from rrdbg.model.timeline.position import Position

    open = open_recording  # noqa: A001  # it is written rrdbg.open

# Not 'open': 'from rrdbg import *' would hide Python's own.
__all__ = ["AsyncReplay", "Interrupted", "Position", "Replay", "RrdbgError", "Skip", "record", "record_async"]

_ELSEWHERE = {
    "Interrupted": "rrdbg.errors",
    "Position": "rrdbg.model.timeline.position",
    "RrdbgError": "rrdbg.errors",
    "Skip": "rrdbg.frontends.bisect.python",
}


def __getattr__(name: str) -> Any:
    if name not in (*__all__, "open"):
        raise AttributeError(f"module 'rrdbg' has no attribute '{name}'")
    from importlib import import_module

    place = import_module(_ELSEWHERE.get(name, "rrdbg.frontends.api"))
    return getattr(place, "open_recording" if name == "open" else name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "open"])
