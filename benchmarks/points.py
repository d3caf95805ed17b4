"""Breakpoints and watchpoints as the remote protocol's Z and z packets name them."""

from __future__ import annotations

from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind

_WATCH = {WatchKind.WRITE: 2, WatchKind.READ: 3, WatchKind.ACCESS: 4}


def words_of(point: Point) -> str:
    """What follows the letter: type, address and length."""
    if isinstance(point, Breakpoint):
        return f"1,{point.address:x},1"
    return f"{_WATCH[point.kind]},{point.address:x},{point.length:x}"
