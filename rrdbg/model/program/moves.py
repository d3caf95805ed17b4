"""Where the value comes from that an instruction puts into a place: another place, or nowhere else.

An instruction is a list of :class:`Move`; :mod:`rrdbg.model.program.decoding` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class RegisterPlace:
    """``size`` bytes of the register ``name`` (as the target description calls it), from byte ``offset`` of it on."""

    name: str
    size: int
    offset: int = 0

    def __str__(self) -> str:
        return f"${self.name}"

    def part(self, start: int, size: int) -> RegisterPlace:
        """``size`` bytes of it, from byte ``start`` of it on."""
        return replace(self, size=size, offset=self.offset + start)


@dataclass(frozen=True, slots=True)
class MemoryPlace:
    """``size`` bytes of memory from a virtual ``address`` on."""

    address: int
    size: int

    def __str__(self) -> str:
        return f"*{self.address:#x}:{self.size}"

    def part(self, start: int, size: int) -> MemoryPlace:
        """``size`` bytes of it, from byte ``start`` of it on."""
        return MemoryPlace(self.address + start, size)


Place = RegisterPlace | MemoryPlace


@dataclass(frozen=True, slots=True)
class Made:
    """The value is from no other place: ``how`` it came about, such as ``computed``."""

    how: str


@dataclass(frozen=True, slots=True)
class Move:
    """What an instruction does to ``target``: it puts ``source`` there.

    A target that is larger than its source is filled up with zeros or the sign. One that is a ``piece`` is one of
    several that are copied in turn, between places as far from each other as these.
    """

    target: Place
    source: Place | Made
    piece: bool = False


@dataclass(frozen=True, slots=True)
class Copied:
    """The value was in ``source``; of the place that was asked about only ``target`` was written.

    ``whole`` is where all of it comes from, if this is one of several instructions that copy it piece by piece; that is
    only so if the same bytes are there.
    """

    source: Place
    target: Place
    whole: Place | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One step on a value's way: the instruction at ``position`` put the ``value``, or a part of it, into ``place``.

    ``source`` is where that was before; None where the way ends, and ``end`` says why. Then ``registers`` are those
    that the instruction names, before it.
    """

    place: Place
    value: bytes
    position: Position
    pc: int
    instruction: str
    source: Place | None = None
    end: str = ""
    registers: Mapping[str, int] = field(default_factory=dict)


COMPUTED = "computed"
CONSTANT = "a constant"
INPUT = "input from a port"
FROM_CPU = "told by the CPU"
RETURN_ADDRESS = "the return address of a call"
NOT_WRITTEN = "written by an interrupt or an exception"
FILLED_UP = "filled up with zeros or the sign"


def source_of(moves: Iterable[Move], asked: Place) -> Copied | Made:
    """Where the value comes from that is in ``asked`` after an instruction that has made ``moves`` and changed it.

    Registers that no move is about are computed; memory then has been written by something else.
    """
    for move in moves:
        common = _overlap(asked, move.target)
        if common is None:
            continue
        if isinstance(move.source, Made):
            return move.source
        start, size = common
        written = _start(asked) + start - _start(move.target)
        if written >= move.source.size:
            return Made(FILLED_UP)
        part = move.source.part(written, min(size, move.source.size - written))
        copied = Copied(part, asked.part(start, size))
        if move.piece and copied.target != asked and isinstance(move.source, MemoryPlace):
            assert isinstance(asked, MemoryPlace), "pieces of memory are copied to memory"
            away = move.source.address - _start(move.target)
            return replace(copied, whole=MemoryPlace(asked.address + away, asked.size))
        return copied
    return Made(NOT_WRITTEN if isinstance(asked, MemoryPlace) else COMPUTED)


def _overlap(asked: Place, target: Place) -> tuple[int, int] | None:
    """Which part of the place that was asked about lies in ``target``: from which byte on, and how many."""
    if isinstance(asked, MemoryPlace) != isinstance(target, MemoryPlace):
        return None
    if isinstance(asked, RegisterPlace) and isinstance(target, RegisterPlace) and asked.name != target.name:
        return None
    low = max(_start(asked), _start(target))
    high = min(_start(asked) + asked.size, _start(target) + target.size)
    return (low - _start(asked), high - low) if low < high else None


def _start(place: Place) -> int:
    return place.address if isinstance(place, MemoryPlace) else place.offset
