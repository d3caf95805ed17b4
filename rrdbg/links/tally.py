"""The file through which the plugin is told what to look for, and tells what it has found: the other half of tally.c.

All numbers are 64 bits wide, in the byte order of this machine. The plugin maps the file, so what it has written can be
read as soon as the guest stands still.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind

KEPT = 1 << 16
"""How many of the latest hits a file has room for: 2 MB."""

_HEADER = struct.Struct("=5Q")
_WANTED = 16
_POINT = struct.Struct("=3Q")
_HIT = struct.Struct("=4Q")

_EXECUTION, _FRAME = 0, 4
_KINDS = {WatchKind.READ: 1, WatchKind.WRITE: 2, WatchKind.ACCESS: 3}


@dataclass(frozen=True, slots=True)
class Sighting:
    """A hit as the plugin has counted it: ``executed`` instructions after the machine's start.

    That may be too high by one for each instruction that has faulted since then. ``pc`` is the instruction's, also
    where it makes an access. A write to a place has the virtual ``address`` that the instruction knows its first byte
    by; each such is told at least once, and not again each time.
    """

    executed: int
    point: Point | PhysicalPlace
    pc: int
    address: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What was found so far: how many ``hits`` in all, and the ``latest`` ones, in their order.

    ``wanted`` is how much was executed before the hit that was asked for, None if that is still to come. An access
    counts its own instruction.
    """

    hits: int
    wanted: int | None
    latest: tuple[Sighting, ...]


def create_tally(path: Path, points: Sequence[Point | PhysicalPlace]) -> None:
    """Make the file that tells the plugin to look for ``points``."""
    content = bytearray(_HEADER.pack(len(points), KEPT, 0, 0, 0))
    for point in points:
        if isinstance(point, PhysicalPlace):
            content += _POINT.pack(_FRAME, point.address, point.address + point.length)
        elif isinstance(point, Breakpoint):
            content += _POINT.pack(_EXECUTION, point.address, point.address)
        else:
            content += _POINT.pack(_KINDS[point.kind], point.address, point.address + point.length)
    with path.open("xb") as file:
        file.write(content)
        file.truncate(len(content) + KEPT * _HIT.size)


def want_hit(path: Path, number: int) -> None:
    """Ask for the place of hit ``number``, counted from 1 on, which is still to come; the guest must stand still."""
    with path.open("r+b") as file:
        file.seek(_WANTED)
        file.write(number.to_bytes(8, sys.byteorder))


def read_tally(path: Path, points: Sequence[Point | PhysicalPlace], most: int = KEPT) -> Tally:
    """What the plugin has found of ``points``, for which the file was made; at most the ``most`` latest hits."""
    raw = path.read_bytes()
    count, kept, wanted, executed, hits = _HEADER.unpack_from(raw)
    ring = _HEADER.size + count * _POINT.size
    latest = []
    for number in range(max(0, hits - min(most, kept)), hits):
        done, point, pc, address = _HIT.unpack_from(raw, ring + number % kept * _HIT.size)
        latest.append(Sighting(done, points[point], pc, address))
    return Tally(hits, executed if 0 < wanted <= hits else None, tuple(latest))
