"""Why and where the guest stopped, and the breakpoints that can make it stop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rrdbg.errors import UsageError
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.hits.unwritten import Unwritten
from rrdbg.model.timeline.position import Position

LONGEST_WATCH = 1 << 16
"""Bytes that one watchpoint covers at most, which is also the longest value that GDB shows by itself."""


class StopReason(StrEnum):
    """Why a movement along the timeline ended."""

    STEP = "step"
    TARGET = "target"
    BREAKPOINT = "breakpoint"
    WATCHPOINT = "watchpoint"
    START = "start"
    END = "end"


class WatchKind(StrEnum):
    """What a watchpoint looks for; ``WRITE`` counts only writes that change the value, as in GDB."""

    WRITE = "watch"
    READ = "rwatch"
    ACCESS = "awatch"


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """Stop before the instruction at ``address`` (linear, as the gdbstub counts it).

    ``space`` is the one address space where it counts; None: it counts in all. ``task`` tells while which task runs it
    counts; None: while any does.
    """

    number: int
    address: int
    space: AddressSpace | None = None
    task: TaskRuns | None = None

    def __str__(self) -> str:
        return f"breakpoint {self.number} at {self.address:#x}{within(self)}"


@dataclass(frozen=True, slots=True)
class Watchpoint:
    """Stop at accesses to ``length`` bytes from ``address`` (virtual).

    ``space`` is the address space that the address is meant in; None: what is mapped there in any. One that watches a
    ``frame`` looks for changes of that, by whatever address; its own is one of those, or the frame's where none is
    known. With ``task`` only accesses count that this one makes, in whatever address space it has.
    """

    number: int
    address: int
    length: int
    kind: WatchKind = WatchKind.WRITE
    space: AddressSpace | None = None
    physical: PhysicalPlace | None = None
    task: TaskRuns | None = None

    @classmethod
    def on_physical(cls, number: int, place: PhysicalPlace) -> Watchpoint:
        """One for writes that change physical memory."""
        return cls(number, place.address, place.length, physical=place)

    @property
    def place(self) -> str:
        """What it watches, in words."""
        return str(self.physical) if self.physical else f"{self.address:#x}:{self.length}"

    def __str__(self) -> str:
        return f"watchpoint {self.number} on {self.place}{within(self)}"


Point = Breakpoint | Watchpoint


def check_watch_length(length: int) -> None:
    """Whether a watchpoint can have so many bytes.

    :raises UsageError: it cannot.
    """
    if not 1 <= length <= LONGEST_WATCH:
        raise UsageError(
            f"A watchpoint covers 1 to {LONGEST_WATCH:,} bytes, not {length:,}; watch a part of it, such as one member."
        )


def check_physical(kind: WatchKind) -> None:
    """Whether accesses of ``kind`` to physical memory are found.

    :raises UsageError: they are not.
    """
    if kind is not WatchKind.WRITE:
        raise UsageError("Of physical memory only writes are found: last, first, writes and watch take --physical.")


def within(point: Point) -> str:
    """Where alone ``point`` counts, in words; empty if it counts everywhere."""
    space = f" in address space {point.space}" if point.space else ""
    return f"{space} in task {point.task}" if point.task else space


@dataclass(frozen=True, slots=True)
class ValueChange:
    """The bytes under a watchpoint just before the instruction that makes the access, and just after it."""

    before: bytes
    after: bytes


def value_change(before: bytes | None, after: bytes | None) -> ValueChange | None:
    """The change from ``before`` to ``after``; None where one of them is not known."""
    return None if before is None or after is None else ValueChange(before, after)


@dataclass(frozen=True, slots=True)
class Hit:
    """A breakpoint or watchpoint that fired.

    ``position`` is where a forward run stops: at the instruction for a breakpoint, after the access for a
    watchpoint. ``pc`` is the linear pc there. ``exact`` is false where only the icount of it is known yet: a free
    run cannot tell the phases of an ambiguous icount apart. ``space`` is the root of the page tables in use there, None
    where there are none.

    QEMU stops behind an access, where the bytes before it can no longer be read. As long as nobody has looked at them
    before it (:mod:`rrdbg.engine.search.trail`) a hit is not ``judged``: it may be a write that changes nothing, which
    is no hit, and ``change.before`` is empty.

    A ``foreign`` one is in another address space than its point means, and was asked for all the same. One that is
    ``unwritten`` is no access: the bytes have changed without one, and ``pc`` has nothing to do with it.
    """

    position: Position
    pc: int
    point: Point
    change: ValueChange | None = None
    exact: bool = True
    space: int | None = None
    judged: bool = True
    foreign: bool = False
    unwritten: Unwritten | None = None

    @property
    def belongs(self) -> bool:
        """False if the point is meant in another address space, or while another task runs, than this has happened."""
        task = self.point.task
        if task:
            watched = isinstance(self.point, Watchpoint)
            if not (task.ends_at(self.position) if watched else task.begins_at(self.position)):
                return False
        return self.point.space is None or self.point.space.root == self.space

    @property
    def reason(self) -> StopReason:
        """Why a movement ends that ends at this hit."""
        return StopReason.WATCHPOINT if isinstance(self.point, Watchpoint) else StopReason.BREAKPOINT

    @property
    def text(self) -> str:
        """What fired, without its number, which means nothing in another session."""
        match self.point:
            case Breakpoint(address=address):
                return f"breakpoint at {address:#x}"
            case Watchpoint():
                return f"{self.point.kind} on {self.point.place}"


@dataclass(frozen=True, slots=True)
class NotedHit(Hit):
    """A hit with what was found out where the machine stood at it."""

    note: object = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of a movement: where the cursor stands now and why."""

    reason: StopReason
    position: Position
    pc: int
    hits: tuple[Hit, ...] = ()
