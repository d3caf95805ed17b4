"""The file through which the plugin is told what to look for, and tells what it has found: the other half of tally.c.

All numbers are 64 bits wide, in the byte order of this machine. The plugin maps the file, so what it has written can be
read as soon as the guest stands still.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Breakpoint, Point, ValueChange, WatchKind

KEPT = 1 << 16
"""How many of the latest hits a file has room for: 2.6 MB."""

KEPT_BLOCKS = 1 << 18
"""How many blocks of code that are executed first: 10 MB."""

KEPT_VALUES = 1 << 14
"""How many, if the values of writes are kept with them: 2.8 MB at most."""

LONGEST_VALUE = 64
"""Bytes of a value that is kept with a hit."""

KEPT_TASKS = 1 << 18
"""How many switches from one task to another, and new names: 19 MB, of a second or two of a busy guest at most."""

KEPT_ACCESSES = 1 << 18
"""How many of all accesses to memory: 10 MB, of some hundred thousand instructions."""

MOST_VIEWS = 16
"""Stretches of the kernel's memory that a file has room for."""

_HEADER = struct.Struct("=24Q")
_WANTED, _ROUND, _LISTENING = 16, 128, 176
_VIEW = struct.Struct("=3Q")
_VIEWS = MOST_VIEWS * _VIEW.size
_TASK = struct.Struct("<II16s")
_OPEN, _TOLD = 0, 1
_LAST = (1 << 64) - 1
_POINT = struct.Struct("=6Q")
_PROGRAM = struct.Struct("=2Q")
_REGISTER = struct.Struct("=Q32s")
_HIT = struct.Struct("=5Q")

_EXECUTION, _FRAME, _BLOCKS, _HANDLER, _SWITCH, _RENAME, _ACCESSES = 0, 4, 8, 16, 32, 64, 128
_KINDS = {WatchKind.READ: 1, WatchKind.WRITE: 2, WatchKind.ACCESS: 3}


@dataclass(frozen=True, slots=True)
class Code:
    """The code from ``address`` on, ``length`` bytes: each block of it is a hit when it is executed first."""

    address: int
    length: int


@dataclass(frozen=True, slots=True)
class Handler:
    """The instruction at ``address`` is the first of a handler of exceptions; no hit, but a help to count exactly."""

    address: int


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Before the instruction at ``address`` another task has become the running one, or this one ``renames`` it."""

    address: int
    renames: bool = False


@dataclass(frozen=True, slots=True)
class Everything:
    """All accesses to memory are hits, of which :func:`read_accesses` tells."""

    address: int = 0


Place = Point | PhysicalPlace | Code | Handler | TaskPlace | Everything
"""What the plugin can look for."""


@dataclass(frozen=True, slots=True)
class TaskLayout:
    """How a Linux kernel says who runs: the address of a pointer to a structure with members at these offsets."""

    variable: int
    pid: int
    tgid: int
    comm: int


@dataclass(frozen=True, slots=True)
class View:
    """``length`` bytes at ``start`` in the kernel's memory, which QEMU has at the address ``host`` of its own."""

    start: int
    length: int
    host: int


@dataclass(frozen=True, slots=True)
class SeenTask:
    """What the plugin has read of the task whose structure is at ``address``."""

    address: int
    pid: int
    tgid: int
    comm: bytes


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
    by; each such is told at least once, and not again each time. Of a write that was judged ``change`` is what it did;
    without it somebody has to look whether there is a change at all. A block of :class:`Code` has its length in
    ``address``, and may come again, where QEMU has translated it anew. At a :class:`TaskPlace` the ``task`` is the one
    that runs from there on, by its new name; None if it was given none, or while that is ``open``.
    """

    executed: int
    point: Place
    pc: int
    address: int = 0
    change: ValueChange | None = None
    task: SeenTask | None = None
    open: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """The instruction at ``pc`` reads or ``writes`` ``length`` bytes; ``executed`` counts it, too."""

    executed: int
    pc: int
    address: int
    length: int
    writes: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What was found so far: how many ``hits`` in all, and the ``latest`` ones, in their order.

    ``wanted`` is how much was executed before the hit that was asked for, None if that is still to come. An access
    counts its own instruction. ``exceptions`` is how many came where they were expected, None if one did not, and 0
    if the plugin was not told of them; ``unexpected`` is how many did not, and what else must not be. ``met`` is how
    many executions there were at points, or writes that were judged, whether they counted or not. ``counter`` is where
    in QEMU the plugin counts instructions; 0 before any.
    """

    hits: int
    wanted: int | None
    latest: tuple[Sighting, ...]
    exceptions: int | None = None
    met: int = 0
    unexpected: int = 0
    counter: int = 0


def create_tally(
    path: Path,
    points: Sequence[Place],
    judging: Judging | None = None,
    exceptions: Sequence[int] = (),
    deliveries: Sequence[tuple[int, int]] | None = None,
    tasks: TaskLayout | None = None,
) -> None:
    """Make the file that tells the plugin to look for ``points``, those of ``judging`` under their conditions.

    ``exceptions`` are how many instructions are executed before each exception that will come, as QEMU counts them.
    With ``deliveries`` the points are watched for writes, and only those count that change something: each is between
    which counts of the plugin's an interrupt or exception may come, in their order. ``tasks`` is needed by
    :class:`TaskPlace`, of which nothing is noted before :func:`listen`.
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
        end = min(point.address + _length(point), _LAST)
        kind = _kind(point)
        looked_for += _POINT.pack(kind, point.address, end, first, count, bool(condition and condition.unclear))
    code += bytes(-len(code) % 8)
    kept, size = (KEPT, 0) if deliveries is None else (KEPT_VALUES, _value_size(points))
    kept = KEPT_BLOCKS if any(isinstance(point, Code) for point in points) else kept
    kept = KEPT_ACCESSES if any(isinstance(point, Everything) for point in points) else kept
    kept, size = (KEPT_TASKS, 16) if tasks else (kept, size)
    content = _HEADER.pack(
        len(points), kept, 0, 0, 0, judging.byte_order == "big", count, len(judging.registers), len(code),
        len(exceptions), 0, 0, 0, deliveries is not None, size, len(deliveries or ()), 0, 0,
        *((tasks.variable, tasks.pid, tasks.tgid, tasks.comm) if tasks else (0, 0, 0, 0)), 0, 0,
    ) + bytes(_VIEWS) + looked_for + programs  # fmt: skip
    content += b"".join(_REGISTER.pack(number, name.encode()) for number, name in judging.registers.items())
    content += code + array("Q", exceptions).tobytes()
    content += array("Q", chain.from_iterable(deliveries or ())).tobytes()
    with path.open("xb") as file:
        file.write(content)
        file.truncate(len(content) + kept * (_HIT.size + 2 * size))


def want_hit(path: Path, number: int) -> None:
    """Ask for the place of hit ``number``, counted from 1 on, which is still to come; the guest must stand still."""
    with path.open("r+b") as file:
        file.seek(_WANTED)
        file.write(number.to_bytes(8, sys.byteorder))


def tell_anew(path: Path) -> None:
    """Have each block of code told again when it is executed next; the guest must stand still."""
    with path.open("r+b") as file:
        file.seek(_ROUND)
        number = int.from_bytes(file.read(8), sys.byteorder) + 1
        file.seek(_ROUND)
        file.write(number.to_bytes(8, sys.byteorder))


def listen(path: Path, views: Sequence[View]) -> None:
    """From here on tasks are noted, which are seen through ``views``; the guest must stand still."""
    with path.open("r+b") as file:
        file.seek(_LISTENING)
        file.write(struct.pack("=2Q", 1, len(views)))
        file.write(b"".join(_VIEW.pack(view.start, view.length, view.host) for view in views))


def read_tally(path: Path, points: Sequence[Place], most: int = KEPT) -> Tally:
    """What the plugin has found of ``points``, for which the file was made; at most the ``most`` latest hits."""
    raw = path.read_bytes()
    header = _HEADER.unpack_from(raw)
    _, kept, wanted, executed, hits = header[:5]
    heard, unexpected, met, _, size, _, _, counter = header[10:18]
    values = len(raw) - kept * 2 * size
    ring = values - kept * _HIT.size
    latest = []
    for number in range(max(0, hits - min(most, kept)), hits):
        place = number % kept
        done, point, pc, address, told = _HIT.unpack_from(raw, ring + place * _HIT.size)
        at = values + place * 2 * size
        if isinstance(points[point], TaskPlace):
            task = SeenTask(address, *_TASK.unpack_from(raw, at)) if told == _TOLD else None
            latest.append(Sighting(done, points[point], pc, task=task, open=told == _OPEN))
        else:
            change = _change(raw, at, size, points[point]) if told else None
            latest.append(Sighting(done, points[point], pc, address, change))
    come = None if unexpected else heard
    return Tally(hits, executed if 0 < wanted <= hits else None, tuple(latest), come, met, unexpected, counter)


def read_accesses(path: Path, most: int) -> Iterator[Access]:
    """The latest accesses to memory, ``most`` of them if there is room for so many, the oldest first.

    The file must have been made for :class:`Everything`.
    """
    with path.open("rb") as file:
        header = _HEADER.unpack(file.read(_HEADER.size))
        kept, hits = header[1], header[4]
        ring = os.fstat(file.fileno()).st_size - kept * _HIT.size
        first = hits - min(most, kept, hits)
        while first < hits:
            place = first % kept
            count = min(hits - first, kept - place)
            file.seek(ring + place * _HIT.size)
            for done, _, pc, address, told in _HIT.iter_unpack(file.read(count * _HIT.size)):
                yield Access(done, pc, address, told & 0xFF, told > 0xFF)
            first += count


def _kind(point: Place) -> int:
    if isinstance(point, Everything):
        return _ACCESSES
    if isinstance(point, Code):
        return _BLOCKS
    if isinstance(point, Handler):
        return _HANDLER
    if isinstance(point, TaskPlace):
        return _RENAME if point.renames else _SWITCH
    if isinstance(point, PhysicalPlace):
        return _FRAME
    return _EXECUTION if isinstance(point, Breakpoint) else _KINDS[point.kind]


def _length(point: Place) -> int:
    """In bytes of what is watched; code that is executed has none."""
    return 0 if isinstance(point, Breakpoint | Handler | TaskPlace | Everything) else point.length


def _value_size(points: Sequence[Place]) -> int:
    """Room for one value of each of ``points`` that is short enough; a multiple of eight."""
    lengths = [length for point in points if (length := _length(point)) <= LONGEST_VALUE]
    return -(-max(lengths, default=0) // 8) * 8


def _change(raw: bytes, start: int, size: int, point: Place) -> ValueChange:
    length = _length(point)
    return ValueChange(raw[start : start + length], raw[start + size : start + size + length])
