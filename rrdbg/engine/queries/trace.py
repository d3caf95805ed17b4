"""Print values at every hit of some instructions, without moving the cursor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal

from rrdbg.engine.queries.evaluate import evaluate, holds
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.ledger_sieve import UntoldError
from rrdbg.errors import RspError
from rrdbg.links.machine import Machine, unreadable
from rrdbg.links.reading import Missing, Reading, Value
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint, NotedHit
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.program.agent import BadExpression, Expression
from rrdbg.model.program.guest_string import LONGEST, GuestString
from rrdbg.model.program.tracing import Conversion, Format, TracedValue, Tracepoint
from rrdbg.model.timeline.position import Position

_PAGE = 4096


async def trace(
    replay: Replay,
    points: Sequence[Tracepoint],
    form: Format,
    start: Position,
    end: Position,
    *,
    conditional: bool = False,
    space: AddressSpace | None = None,
    task: TaskRuns | None = None,
) -> AsyncGenerator[tuple[Position, str, int | None], None]:
    """Where and what ``form`` prints at each hit of ``points`` from ``start`` on and before ``end``, as they are found.

    The third is the root of the page tables in use there. Only hits in ``space``, or of ``task``, count, if there
    is one.

    Where a value cannot be read the text says why. With ``conditional``, the first expression of each point is a
    condition: if it is zero, or cannot be told, nothing is printed.
    """
    breakpoints = [Breakpoint(-1 - number, point.address, space, task) for number, point in enumerate(points)]
    hits = replay.scan(breakpoints, start, end, _Tracer(points, form, conditional=conditional))
    try:
        async for hit in hits:
            assert isinstance(hit, NotedHit)
            yield hit.position, str(hit.note), hit.space
    finally:
        await hits.aclose()


class _Tracer:
    """Works out the text where a machine stands at a hit, as its note."""

    def __init__(self, points: Sequence[Tracepoint], form: Format, *, conditional: bool) -> None:
        self._points = {point.address: point for point in points}
        self._form = form
        self._conditional = conditional

    def condition(self, point: Breakpoint) -> Condition:
        """When ``point`` counts; see :class:`~rrdbg.model.hits.condition.Conditional`."""
        codes = self._points[point.address].expressions
        return Condition(codes[:1], unclear=False) if self._conditional else Condition()

    def readings(self, point: Breakpoint) -> Sequence[Reading]:
        """What is printed of ``point``; see :class:`~rrdbg.engine.search.note_sieve.Notes`."""
        codes = self._points[point.address].expressions[self._conditional :]
        return readings_of(codes, self._form.conversions)

    def noted(self, point: Breakpoint, values: Sequence[Value]) -> str:
        """The text, by the values of the :meth:`readings`."""
        return self._form.show(told_values(values))

    async def __call__(self, machine: Machine, point: Breakpoint) -> str | Literal[False]:
        if not await holds(self.condition(point), machine):
            return False
        tracepoint = self._points[point.address]
        if self._conditional:
            tracepoint = Tracepoint(tracepoint.address, tracepoint.expressions[1:])
        return self._form.show(await values_at(machine, tracepoint, self._form.conversions))


async def values_at(machine: Machine, point: Tracepoint, conversions: Sequence[Conversion]) -> tuple[TracedValue, ...]:
    """The values of ``point``'s expressions where ``machine`` stands, or why one cannot be told."""
    packet = await machine.register_packet()
    values: list[TracedValue] = []
    for expression, conversion in zip(point.expressions, conversions, strict=True):
        try:
            value = await evaluate(expression, machine, packet)
            values.append(await _string(machine, value) if conversion.letter == "s" else value)
        except (BadExpression, RspError) as error:
            values.append(f"<{error}>")
    return tuple(values)


def readings_of(expressions: Sequence[Expression], conversions: Sequence[Conversion]) -> list[Reading]:
    """What QEMU's plugin has to read, so that :func:`told_values` gives what :func:`values_at` does."""
    return [
        Reading(code, text=conversion.letter == "s") for code, conversion in zip(expressions, conversions, strict=True)
    ]


def told_values(values: Sequence[Value]) -> tuple[TracedValue, ...]:
    """What :func:`values_at` gives where the plugin has read ``values``.

    :raises UntoldError: it has not told why one cannot be.
    """
    return tuple(map(_told, values))


def _told(value: Value) -> TracedValue:
    if value is None:
        raise UntoldError
    if isinstance(value, int):
        return value
    if isinstance(value, Missing):
        return f"<{unreadable(value.address, value.length)}>"
    if isinstance(value.content, Missing):
        return GuestString(value.address, problem=str(unreadable(value.content.address, value.content.length)))
    return GuestString(value.address, value.content, whole=len(value.content) < LONGEST)


async def _string(machine: Machine, address: int) -> GuestString:
    """The bytes up to a zero, read page by page, since the next page may not be mapped."""
    text, here = b"", address
    while len(text) < LONGEST:
        try:
            part = await machine.read_memory(here, min(_PAGE - here % _PAGE, LONGEST - len(text)))
        except RspError as error:
            return GuestString(address, problem=str(error))
        found, zero, _ = part.partition(b"\0")
        text += found
        if zero:
            return GuestString(address, text)
        here += len(part)
    return GuestString(address, text, whole=False)
