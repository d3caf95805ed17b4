"""The client's breakpoints and watchpoints, as its Z and z packets set and clear them.

``Z TYPE,ADDRESS,KIND[;XLENGTH,BYTECODE...]``: type 0 and 1 are breakpoints, 2, 3 and 4 watch for writes, reads and
both. All breakpoints are the same to us: QEMU changes no code for them. Conditions come as agent expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rrdbg.errors import UsageError
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind, Watchpoint, check_physical, check_watch_length
from rrdbg.model.program.agent import Expression

_PACKET = re.compile(rb"([0-4]),([0-9a-fA-F]{1,16}),([0-9a-fA-F]{1,8})((?:;.*)?)", re.DOTALL)
_CONDITION = re.compile(rb"X([0-9a-fA-F]{1,8}),")
_WATCH = {2: WatchKind.WRITE, 3: WatchKind.READ, 4: WatchKind.ACCESS}


@dataclass(frozen=True, slots=True)
class Key:
    """What a ``Z`` packet calls a point by."""

    kind: int
    address: int
    length: int
    physical: bool = False


class PointSet:
    """The points that are set now; their numbers are below zero, so that they differ from the session's."""

    def __init__(self) -> None:
        self._points: dict[Key, Point] = {}
        self._conditions: dict[int, Sequence[Expression]] = {}
        self._made: dict[Key, Point] = {}

    @property
    def points(self) -> tuple[Point, ...]:
        """All of them; breakpoints at one address count as one."""
        unique = {(p.address if isinstance(p, Breakpoint) else p): p for p in self._points.values()}
        return tuple(unique.values())

    @property
    def keyed(self) -> Iterable[tuple[Key, Point]]:
        """The points as the client set them."""
        return self._points.items()

    @property
    def watchpoints(self) -> tuple[Watchpoint, ...]:
        """The watchpoints."""
        return tuple(point for point in self._points.values() if isinstance(point, Watchpoint))

    @property
    def conditional(self) -> bool:
        """True if any breakpoint has a condition."""
        return bool(self._conditions)

    def clear(self) -> None:
        """Forget all: the client has gone."""
        self._points.clear()
        self._conditions.clear()

    def insert(self, arguments: bytes, *, physical: bool = False) -> None:
        """What a ``Z`` packet says after its letter; again for the same place, it replaces the conditions.

        Watchpoints are on ``physical`` memory while the client reads that.

        :raises UsageError: it is malformed, or a watchpoint for reads of physical memory.
        """
        key, tail = _read(arguments)
        if physical and key.kind > 1:
            check_physical(_WATCH[key.kind])
            key = replace(key, physical=True)
        conditions = _read_conditions(tail)
        # GDB takes its points away at each stop: one that comes again is the same one.
        point = self._made.get(key) or self._make(key)
        self._points[key] = self._made[key] = point
        self._conditions.pop(point.number, None)
        if conditions:
            self._conditions[point.number] = conditions

    def remove(self, arguments: bytes) -> None:
        """What a ``z`` packet says after its letter; removing what is not there is no error.

        :raises UsageError: it is malformed.
        """
        key, _ = _read(arguments)
        # Which memory the client reads by now says nothing of the memory that it read when it set the point.
        for known in (key, replace(key, physical=True)):
            if point := self._points.pop(known, None):
                self._conditions.pop(point.number, None)

    def conditions_at(self, address: int) -> Sequence[Expression]:
        """Conditions of the breakpoints at ``address``: it counts if one holds; empty if it always counts."""
        here = [p for p in self._points.values() if isinstance(p, Breakpoint) and p.address == address]
        if any(point.number not in self._conditions for point in here):
            return ()
        return [condition for point in here for condition in self._conditions[point.number]]

    def _make(self, key: Key) -> Point:
        number = -1 - len(self._made)
        if key.kind < 2:
            return Breakpoint(number, key.address)
        if key.physical:
            return Watchpoint.on_physical(number, PhysicalPlace(key.address, key.length))
        check_watch_length(key.length)
        return Watchpoint(number, key.address, key.length, _WATCH[key.kind])


def _read(arguments: bytes) -> tuple[Key, bytes]:
    match = _PACKET.fullmatch(arguments)
    if match is None:
        raise UsageError("A Z or z packet is malformed; it reads Z TYPE,ADDRESS,KIND.")
    return Key(int(match[1]), int(match[2], 16), int(match[3], 16)), match[4]


def _read_conditions(tail: bytes) -> list[Expression]:
    """``;X5,0123456789X3,...``: GDB writes one ``;`` and then all of them; more are allowed."""
    found = []
    tail = tail.replace(b";", b"")
    while tail:
        match = _CONDITION.match(tail)
        if match is None:
            raise UsageError("A Z packet has a condition that is no agent expression (X LENGTH,BYTECODE).")
        end = match.end() + 2 * int(match[1], 16)
        try:
            found.append(Expression(bytes.fromhex(tail[match.end() : end].decode("latin-1"))))
        except ValueError:
            raise UsageError("A Z packet has a condition whose bytecode is not hexadecimal.") from None
        if len(tail) < end:
            raise UsageError("A Z packet has a condition that is cut short.")
        tail = tail[end:]
    return found
