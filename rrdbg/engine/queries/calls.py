"""All calls of a function on a stretch of the timeline: from where, with which arguments, and what they returned.

Two passes over one piece of the stretch after another, so that the first calls are told early. The first pass stops at
the function's entry, where the stack pointer and the return address are known, and where its parameters can be read,
which may be some instructions later. The second stops at all the return addresses; a call has returned when the guest
comes to its own with the stack pointer that it must have then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from rrdbg.engine.machines.progress import Progress
from rrdbg.engine.queries.trace import values_at
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.stop import Breakpoint, NotedHit
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.program.tracing import Conversion, TracedValue, Tracepoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

FIRST_SECONDS = 0.5
"""Of replay: how much is searched before the first calls are told; each piece then is twice as long."""

FIRST_CALLS = 64
"""So many calls end a piece, too: each takes some milliseconds, and nothing is told meanwhile. Then twice as many."""

MOST_CALLS = 2048
"""A piece has no more, so that something is told every few seconds."""


@dataclass(frozen=True, slots=True)
class _Convention:
    """Where a call leaves what we want: on the ``stack`` (bytes of a return address there) or in ``link``.

    ``odd`` tells that the lowest bit of an address of code says something else.
    """

    sp: str
    result: str
    stack: int = 0
    link: str = ""
    odd: bool = False


_X86_64 = _Convention("rsp", "rax", stack=8)
_SHORT = _Convention("rsp", "rax", stack=4)
"""32-bit code on the same CPU."""

_ARM = _Convention("sp", "r0", link="lr", odd=True)
_CONVENTIONS = {
    "rsp": _X86_64,
    "esp": _Convention("esp", "eax", stack=4),
    "x30": _Convention("sp", "x0", link="x30"),
    "ra": _Convention("sp", "a0", link="ra"),
    "cpsr": _ARM,
    "xpsr": _ARM,
}
"""By a register that no architecture before it has: x86-64, x86, AArch64, RISC-V, Arm and Cortex-M."""


@dataclass(slots=True)
class Call:
    """One call: where its first instruction is about to be executed, and where it came from.

    ``arguments`` are its parameters' values, or why one cannot be told; ``returned`` is the result register when it has
    returned at ``end``, both None if it does not within the stretch. ``space`` is the root of the page tables in use.
    """

    position: Position
    return_address: int
    sp_after: int
    arguments: tuple[TracedValue, ...] = ()
    returned: int | None = None
    end: Position | None = None
    space: int | None = None


async def calls(
    replay: Replay,
    entry: int,
    points: Sequence[Tracepoint],
    forms: Sequence[Conversion],
    start: Position,
    end: Position,
    space: AddressSpace | None = None,
    task: TaskRuns | None = None,
    on_searched: Callable[[Position, int], None] = lambda position, unfinished: None,
) -> AsyncGenerator[Call, None]:
    """The calls of the function at ``entry`` that begin from ``start`` on and before ``end``.

    Only those in ``space``, and of ``task``, where there is one.

    A call is told when the piece is searched in which it returns, those of a piece in order, and at the end those that
    do not return. ``on_searched`` is told how far all calls are told, but for so many that have not returned there.
    ``points`` say where and how to read its parameters, and ``forms`` how they will be printed.

    :raises UsageError: how calls are made on the guest's architecture is not known.
    """
    entries = _Entries(entry, points, forms)
    bar = _Bar(replay, start, end)
    begun: list[Call] = []
    latest: dict[int | None, Call] = {}
    low, seconds, most = start, FIRST_SECONDS, FIRST_CALLS
    while low < end:
        high = _piece_end(replay.timeline, low, end, seconds)
        old = len(begun)
        with bar.part(low, high, 0):
            async with aclosing(
                replay.scan(_breakpoints({entry, *entries.points}, space, task), low, high, entries)
            ) as hits:
                async for hit in hits:
                    assert isinstance(hit, NotedHit)
                    seen = hit.note
                    assert isinstance(seen, _Seen)
                    if seen.back and len(begun) - old >= most and hit.exact:
                        # The next piece begins with this one.
                        high = hit.position
                        break
                    if seen.back:
                        call = latest[hit.space] = Call(hit.position, *seen.back, space=hit.space)
                        begun.append(call)
                    here = latest.get(hit.space)
                    if seen.arguments and here and not here.arguments:
                        here.arguments = seen.arguments
        if begun:
            returns = _Returns(begun)
            with bar.part(low, high, 1):
                async for hit in replay.scan(
                    _breakpoints(returns.addresses, space, task), max(low, begun[0].position), high, _returning
                ):
                    assert isinstance(hit, NotedHit)
                    returns.end(hit)
        for call in begun:
            if call.end:
                yield call
        begun = [call for call in begun if call.end is None]
        on_searched(high, len(begun))
        # Where calls are frequent a piece is shorter than was thought, and workers need not look beyond the next.
        seconds = 2 * min(seconds, replay.timeline.cost.seconds(low.icount, high.icount))
        low, most = high, min(2 * most, MOST_CALLS)
    for call in begun:
        yield call


def _piece_end(timeline: Timeline, low: Position, end: Position, seconds: float) -> Position:
    """A snapshot so many seconds of replay behind ``low``, or the ``end``."""
    places = (Position(snapshot.icount) for snapshot in timeline.snapshots)
    return next(
        (here for here in places if low < here < end and timeline.cost.seconds(low.icount, here.icount) >= seconds), end
    )


class _Bar:
    """Tells whoever watches ``replay`` how much of a stretch is searched, each piece of it in two passes."""

    def __init__(self, replay: Replay, start: Position, end: Position) -> None:
        self._replay = replay
        self._start = start.icount
        self._whole = replay.timeline.cost.seconds(start.icount, end.icount)
        self._shown = 0.0

    @contextmanager
    def part(self, low: Position, high: Position, number: int) -> Iterator[None]:
        """Pass ``number``, from 0 on, over a piece is made inside."""
        seconds, report = self._replay.timeline.cost.seconds, self._replay.on_progress
        before, length = seconds(self._start, low.icount), seconds(low.icount, high.icount)

        def tell(progress: Progress) -> None:
            here = min(max(progress.icount, low.icount), high.icount)
            done = before + (number * length + seconds(low.icount, here)) / 2
            self._shown = max(self._shown, done)
            report(Progress(here, self._shown, self._whole))

        self._replay.on_progress = tell
        try:
            yield
        finally:
            self._replay.on_progress = report


def _breakpoints(addresses: set[int], space: AddressSpace | None, task: TaskRuns | None) -> list[Breakpoint]:
    return [Breakpoint(-1 - number, address, space, task) for number, address in enumerate(sorted(addresses))]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen on the way into a call: at the entry the way ``back``, the return address and the stack pointer
    there; behind the prologue the arguments.
    """

    back: tuple[int, int] | None
    arguments: tuple[TracedValue, ...]


@dataclass(slots=True)
class _Entries:
    """Reads what there is at the entry and behind the prologue."""

    entry: int
    tracepoints: Sequence[Tracepoint]
    forms: Sequence[Conversion]
    points: dict[int, Tracepoint] = field(init=False)

    def __post_init__(self) -> None:
        self.points = {point.address: point for point in self.tracepoints if point.expressions}

    async def __call__(self, machine: Machine, point: Breakpoint) -> _Seen:
        tracepoint = self.points.get(point.address)
        return _Seen(
            await _return(machine) if point.address == self.entry else None,
            await values_at(machine, tracepoint, self.forms) if tracepoint else (),
        )


async def _returning(machine: Machine, point: Breakpoint) -> tuple[int, int]:
    """Where a call may be returning: the stack pointer and the register of results."""
    registers = await machine.registers()
    convention = await _convention(machine, registers)
    return registers[convention.sp], registers[convention.result]


class _Returns:
    """Notes the results of calls that have returned."""

    def __init__(self, found: Sequence[Call]) -> None:
        self._open: dict[tuple[int, int, int | None], list[Call]] = {}
        self._left = iter([*found, None])
        self._next = next(self._left)
        self.addresses = {call.return_address for call in found}

    def end(self, hit: NotedHit) -> None:
        while self._next and self._next.position < hit.position:
            key = self._next.return_address, self._next.sp_after, _user_only(self._next.sp_after, self._next.space)
            self._open.setdefault(key, []).append(self._next)
            self._next = next(self._left)
        assert isinstance(hit.note, tuple)
        sp, result = hit.note
        for call in self._open.pop((hit.pc, sp, _user_only(sp, hit.space)), ()):
            # An earlier one with the same stack was left without a return, by a longjmp or the like.
            call.returned, call.end = result, hit.position


def _user_only(sp: int, space: int | None) -> int | None:
    """``space`` where it tells stacks apart: a process's may lie where others' do, the kernel's has a place alone."""
    return None if sp >> 63 else space


async def _return(machine: Machine) -> tuple[int, int]:
    """At a function's entry: the address that it will return to, and the stack pointer then."""
    registers = await machine.registers()
    convention = await _convention(machine, registers)
    sp = registers[convention.sp]
    if convention.link:
        return registers[convention.link] & (~1 if convention.odd else ~0), sp
    try:
        raw = await machine.read_memory(sp, convention.stack)
    except RspError:
        return 0, 0
    return int.from_bytes(raw, machine.register_file.byte_order), sp + convention.stack


async def _convention(machine: Machine, registers: dict[str, int]) -> _Convention:
    found = next((_CONVENTIONS[name] for name in _CONVENTIONS if name in registers), None)
    if found is None:
        raise UsageError("How functions are called on this architecture is not known; use tprintf.")
    if found is _X86_64 and (segment := await machine.code_segment()) and segment.mode is not CodeMode.BITS64:
        return _SHORT
    return found
