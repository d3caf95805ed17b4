"""The file through which the plugin is told what to look for, and tells what it has found: the other half of tally.c.

All numbers are 64 bits wide, in the byte order of this machine. The plugin maps the file, so what it has written can be
read as soon as the guest stands still.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind

KEPT = 1 << 16
"""How many of the latest hits a file has room for: 2 MB."""

_HEADER = struct.Struct("=13Q")
_WANTED = 16
_POINT = struct.Struct("=6Q")
_PROGRAM = struct.Struct("=2Q")
_REGISTER = struct.Struct("=Q32s")
_HIT = struct.Struct("=4Q")

_EXECUTION, _FRAME = 0, 4
_KINDS = {WatchKind.READ: 1, WatchKind.WRITE: 2, WatchKind.ACCESS: 3}


@dataclass(frozen=True, slots=True)
class Judging:
    """What the plugin needs to judge conditions: the ``conditions`` of breakpoints, by address, and the guest's order.

    ``registers`` are the names of those that they read, by number.
    """

    conditions: Mapping[int, Condition] = field(default_factory=dict)
    registers: Mapping[int, str] = field(default_factory=dict)
    byte_order: Literal["little", "big"] = "little"


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
    counts its own instruction. ``exceptions`` is how many came where they were expected, None if one did not, or the
    plugin was not told of them. ``met`` is how many executions there were at points, whether they counted or not.
    """

    hits: int
    wanted: int | None
    latest: tuple[Sighting, ...]
    exceptions: int | None = None
    met: int = 0


def create_tally(
    path: Path, points: Sequence[Point | PhysicalPlace], judging: Judging | None = None, exceptions: Sequence[int] = ()
) -> None:
    """Make the file that tells the plugin to look for ``points``, those of ``judging`` under their conditions.

    ``exceptions`` are how many instructions are executed before each exception that will come, as QEMU counts them.
    """
    judging = judging or Judging()
    looked_for, programs, code = bytearray(), bytearray(), bytearray()
    count = 0
    for point in points:
        condition = judging.conditions.get(point.address) if isinstance(point, Breakpoint) else None
        first = count
        for program in condition.alternatives if condition else ():
            programs += _PROGRAM.pack(len(code), len(program.code))
            code += program.code
            count += 1
        end = point.address if isinstance(point, Breakpoint) else point.address + point.length
        kind = _kind(point)
        looked_for += _POINT.pack(kind, point.address, end, first, count, bool(condition and condition.unclear))
    code += bytes(-len(code) % 8)
    content = _HEADER.pack(
        len(points), KEPT, 0, 0, 0, judging.byte_order == "big", count, len(judging.registers), len(code),
        len(exceptions), 0, 0, 0,
    ) + looked_for + programs  # fmt: skip
    content += b"".join(_REGISTER.pack(number, name.encode()) for number, name in judging.registers.items())
    content += code + array("Q", exceptions).tobytes()
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
    _, kept, wanted, executed, hits, *_, listed, heard, unexpected, met = _HEADER.unpack_from(raw)
    ring = len(raw) - kept * _HIT.size
    latest = []
    for number in range(max(0, hits - min(most, kept)), hits):
        done, point, pc, address = _HIT.unpack_from(raw, ring + number % kept * _HIT.size)
        latest.append(Sighting(done, points[point], pc, address))
    told = heard if listed and not unexpected else None
    return Tally(hits, executed if 0 < wanted <= hits else None, tuple(latest), told, met)


def _kind(point: Point | PhysicalPlace) -> int:
    if isinstance(point, PhysicalPlace):
        return _FRAME
    return _EXECUTION if isinstance(point, Breakpoint) else _KINDS[point.kind]
