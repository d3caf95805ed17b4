"""The file through which the plugin is told what to look for, and tells what it has found: the other half of tally.c.

All numbers are 64 bits wide, in the byte order of this machine. The plugin maps the file, so what it has written can be
read as soon as the guest stands still.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from rrdbg.links.reading import Reading, Record, Value
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Breakpoint, Point, ValueChange, WatchKind, Watchpoint
from rrdbg.model.program.agent import Expression

KEPT = 1 << 16
"""How many of the latest hits a file has room for: 2.6 MB."""

KEPT_BLOCKS = 1 << 18
"""How many blocks of code that are executed first: 10 MB."""

KEPT_VALUES = 1 << 14
"""How many, if the values of writes are kept with them; fewer if these are long."""

LONGEST_VALUE = 4096
"""Bytes of a value that is kept with a hit."""

KEPT_TASKS = 1 << 18
"""How many switches from one task to another, and new names: 19 MB, of a second or two of a busy guest at most."""

KEPT_ACCESSES = 1 << 18
"""How many of all accesses to memory: 10 MB, of some hundred thousand instructions."""

MOST_VIEWS = 16
"""Stretches of the kernel's memory that a file has room for."""

MOST_HANDLERS = 512
"""Addresses of handlers of exceptions that a file has room for."""

_MOST_BYTES = 1 << 26
"""Of what is kept with hits, if there is much of it with each."""

_HEADER = struct.Struct("=29Q")
_WANTED, _EXCEPTIONS_MET, _ROUND, _HANDLERS, _LISTENING = 16, 80, 128, 176, 216
_VIEW = struct.Struct("=3Q")
_VIEWS = MOST_VIEWS * _VIEW.size
_TASK = struct.Struct("<II16s")
_OPEN, _TOLD = 0, 1
_LAST = (1 << 64) - 1
_POINT = struct.Struct("=9Q")
_PROGRAM = struct.Struct("=2Q")
_READING = struct.Struct("=3Q")
_REGISTER = struct.Struct("=Q32s")
_HIT = struct.Struct("=5Q")

_EXECUTION, _FRAME, _BLOCKS, _HANDLER, _SWITCH, _RENAME, _ACCESSES, _RETURN = 0, 4, 8, 16, 32, 64, 128, 256
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


@dataclass(frozen=True, slots=True)
class CallReturn:
    """Wherever calls return to that have begun, as their entries' readings say, or to ``address``."""

    readings: tuple[Reading, ...] = ()
    address: int = 0


Place = Point | PhysicalPlace | Code | Handler | TaskPlace | Everything | CallReturn
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
    """What the plugin needs to judge conditions: the ``conditions`` of points, by address, and the guest's order.

    Those of writes that change something are judged behind them, and read no registers.

    ``registers`` are the names of those that they read, by number. ``readings`` are what is to be read where a
    breakpoint is hit, by address; ``common`` ones come behind them, and are read where a watched place changes, too.
    """

    conditions: Mapping[int, Condition] = field(default_factory=dict)
    registers: Mapping[int, str] = field(default_factory=dict)
    byte_order: Literal["little", "big"] = "little"
    readings: Mapping[int, Sequence[Reading]] = field(default_factory=dict)
    common: Sequence[Reading] = ()

    def readings_at(self, point: Place) -> Sequence[Reading]:
        """What is read at hits of ``point``, in order."""
        if isinstance(point, CallReturn):
            return (*point.readings, *self.common)
        if isinstance(point, Breakpoint):
            return (*self.readings.get(point.address, ()), *self.common)
        return self.common if isinstance(point, Watchpoint) else ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """A hit as the plugin has counted it: ``executed`` instructions after the machine's start.

    That may be too high by one for each instruction that has faulted since then. ``pc`` is the instruction's, also
    where it makes an access. A write to a place has the virtual ``address`` that the instruction knows its first byte
    by; each such is told at least once, and not again each time. Of a write that was judged ``change`` is what it did;
    without it somebody has to look whether there is a change at all. Behind it comes the instruction at ``address``, 0
    if that is not known, and ``pc`` is what lies behind it. A block of :class:`Code` has its length in ``address``, and
    may come again, where QEMU has translated it anew. The ``values`` are what was to be read. At a :class:`TaskPlace`
    the ``task`` is the one that runs from there on, by its new name; None if it was given none, or while that is
    ``open``.
    """

    executed: int
    point: Place
    pc: int
    address: int = 0
    change: ValueChange | None = None
    task: SeenTask | None = None
    open: bool = False
    values: tuple[Value, ...] = ()


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
    in QEMU the plugin counts instructions; 0 before any. It is ``ahead`` by so much. ``kept`` is how many of the latest
    hits there is room for.
    """

    hits: int
    wanted: int | None
    latest: tuple[Sighting, ...]
    exceptions: int | None = None
    met: int = 0
    unexpected: int = 0
    counter: int = 0
    ahead: int = 0
    kept: int = 0


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
    size = 16 if tasks else 0 if deliveries is None else _value_size(points)
    code = _Code()
    looked_for = b"".join(_packed(point, judging, code, 2 * size) for point in points)
    code.code += bytes(-len(code.code) % 8)
    record = 2 * size + max((_read_size(judging.readings_at(point)) for point in points), default=0)
    kept = KEPT if deliveries is None else KEPT_VALUES
    kept = KEPT_BLOCKS if any(isinstance(point, Code) for point in points) else KEPT_TASKS if tasks else kept
    kept = KEPT_ACCESSES if any(isinstance(point, Everything) for point in points) else kept
    while not tasks and kept * record > _MOST_BYTES:
        kept //= 2
    content = _HEADER.pack(
        len(points), kept, 0, 0, 0, judging.byte_order == "big", code.count, len(judging.registers), len(code.code),
        len(exceptions), 0, 0, 0, deliveries is not None, size, len(deliveries or ()), 0, 0, 0,
        len(code.readings) // _READING.size, record, MOST_HANDLERS, 0,
        *((tasks.variable, tasks.pid, tasks.tgid, tasks.comm) if tasks else (0, 0, 0, 0)), not tasks, 0,
    ) + bytes(_VIEWS) + looked_for + code.programs  # fmt: skip
    content += b"".join(_REGISTER.pack(number, name.encode()) for number, name in judging.registers.items())
    content += code.readings + code.code + array("Q", exceptions).tobytes()
    content += array("Q", chain.from_iterable(deliveries or ())).tobytes()
    with path.open("xb") as file:
        file.write(content)
        file.truncate(len(content) + MOST_HANDLERS * 8 + kept * (_HIT.size + record))


class _Code:
    """The programs of a file, and what they are for."""

    def __init__(self) -> None:
        self.programs, self.code, self.readings = bytearray(), bytearray(), bytearray()
        self.count = 0

    def add(self, expression: Expression) -> int:
        """The number of a program that is ``expression``."""
        self.programs += _PROGRAM.pack(len(self.code), len(expression.code))
        self.code += expression.code
        self.count += 1
        return self.count - 1


def _packed(point: Place, judging: Judging, code: _Code, place: int) -> bytes:
    """``point``, its conditions, and what is to be read at it, which is kept from ``place`` on."""
    judged = isinstance(point, Breakpoint | Watchpoint)
    condition = judging.conditions.get(point.address) if judged else None
    first = code.count
    for program in condition.alternatives if condition else ():
        code.add(program)
    last, reading = code.count, len(code.readings) // _READING.size
    readings = judging.readings_at(point)
    for each in readings:
        code.readings += _READING.pack(code.add(each.expression), each.text, place)
        place += each.size
    end = min(point.address + _length(point), _LAST)
    return _POINT.pack(
        _kind(point), point.address, end, first, last, bool(condition and condition.unclear),
        reading, reading + len(readings), sum(each.back for each in readings),
    )  # fmt: skip


def _read_size(readings: Sequence[Reading]) -> int:
    return sum(reading.size for reading in readings)


def set_handlers(path: Path, addresses: Sequence[int]) -> None:
    """Say where handlers of exceptions begin, at most :data:`MOST_HANDLERS`; the guest must not have run yet."""
    with path.open("r+b") as file:
        header = _HEADER.unpack(file.read(_HEADER.size))
        points, programs, registers, size = header[0], header[6], header[7], header[8]
        place = _HEADER.size + _VIEWS + points * _POINT.size + programs * _PROGRAM.size + registers * _REGISTER.size
        place += header[19] * _READING.size + size + header[9] * 8 + header[15] * 16
        file.seek(place)
        file.write(array("Q", addresses).tobytes())
        file.seek(_HANDLERS)
        file.write(len(addresses).to_bytes(8, sys.byteorder))


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


def realign(path: Path, exceptions: int) -> None:
    """So many exceptions have come, all of them where they were expected; the guest must stand still."""
    with path.open("r+b") as file:
        file.seek(_EXCEPTIONS_MET)
        file.write(struct.pack("=2Q", exceptions, 0))


def listen(path: Path, views: Sequence[View]) -> None:
    """From here on tasks are noted, which are seen through ``views``; the guest must stand still."""
    with path.open("r+b") as file:
        file.seek(_LISTENING)
        file.write(struct.pack("=2Q", 1, len(views)))
        file.write(b"".join(_VIEW.pack(view.start, view.length, view.host) for view in views))


def read_tally(path: Path, points: Sequence[Place], most: int = KEPT, readings: Sequence[Record] = ()) -> Tally:
    """What the plugin has found of ``points``, for which the file was made; at most the ``most`` latest hits.

    ``readings`` are what it was to read at hits of each of them.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as raw:
        header = _HEADER.unpack_from(raw)
        _, kept, wanted, executed, hits = header[:5]
        heard, unexpected, met, _, size, _, _, counter, ahead, _, record = header[10:21]
        kept_with = len(raw) - kept * record
        ring = kept_with - kept * _HIT.size
        latest = []
        for number in range(max(0, hits - min(most, kept)), hits):
            place = number % kept
            done, index, pc, address, told = _HIT.unpack_from(raw, ring + place * _HIT.size)
            at = kept_with + place * record
            point = points[index]
            if isinstance(point, TaskPlace):
                task = SeenTask(address, *_TASK.unpack_from(raw, at)) if told == _TOLD else None
                latest.append(Sighting(done, point, pc, task=task, open=told == _OPEN))
                continue
            values: tuple[Value, ...] = ()
            if told and readings and readings[index].readings:
                values = readings[index].read(raw, at + 2 * size)
            change = _change(raw, at, size, point) if told and isinstance(point, Watchpoint) else None
            latest.append(Sighting(done, point, pc, address, change, values=values))
    come = None if unexpected else heard
    return Tally(
        hits, executed if 0 < wanted <= hits else None, tuple(latest), come, met, unexpected, counter, ahead, kept
    )


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
    if isinstance(point, CallReturn):
        return _RETURN
    if isinstance(point, Handler):
        return _HANDLER
    if isinstance(point, TaskPlace):
        return _RENAME if point.renames else _SWITCH
    if isinstance(point, PhysicalPlace):
        return _FRAME
    return _EXECUTION if isinstance(point, Breakpoint) else _KINDS[point.kind]


def _length(point: Place) -> int:
    """In bytes of what is watched; code that is executed has none."""
    return 0 if isinstance(point, Breakpoint | Handler | TaskPlace | Everything | CallReturn) else point.length


def _value_size(points: Sequence[Place]) -> int:
    """Room for one value of each of ``points`` that is short enough; a multiple of eight."""
    lengths = [length for point in points if (length := _length(point)) <= LONGEST_VALUE]
    return -(-max(lengths, default=0) // 8) * 8


def _change(raw: mmap.mmap, start: int, size: int, point: Place) -> ValueChange:
    length = _length(point)
    return ValueChange(raw[start : start + length], raw[start + size : start + size + length])
