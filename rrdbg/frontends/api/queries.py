"""What the API's queries stream: each an asynchronous generator that works while it is asked."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.scope import bisection
from rrdbg.commands.session import Session
from rrdbg.engine.queries.bisect import Bisector
from rrdbg.engine.queries.calls import calls as find_calls
from rrdbg.engine.queries.evaluate import evaluate
from rrdbg.engine.queries.predicates import FormulaPredicate
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.scan import Accept
from rrdbg.errors import RspError
from rrdbg.frontends.api.values import Value, read_value
from rrdbg.links.machine import Machine
from rrdbg.links.symbols import GdbSymbols
from rrdbg.model.hits.predicate import ExpressionFormula
from rrdbg.model.hits.stop import Breakpoint, Hit
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.guest_string import GuestString
from rrdbg.model.program.tracing import Conversion, Format, TracedValue, Tracepoint
from rrdbg.model.results import Changed, Frame
from rrdbg.model.timeline.events import NOTABLE, EventKind, GuestEvent
from rrdbg.model.timeline.position import Position
from rrdbg.store.history import history

_AT_ONCE = 1000
"""Events read before the event loop may do something else: some milliseconds' work."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the console; ``position`` is where its first character is about to be printed."""

    position: Position
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call: at ``position`` the first instruction of ``function`` is about to be executed, for ``caller``.

    ``arguments`` are numbers, strings, or why one cannot be read; ``returned`` is the register of results at ``end``,
    None of both if it does not return.
    """

    position: Position
    function: str
    caller: str
    arguments: Mapping[str, int | str]
    returned: int | None
    end: Position | None


@dataclass(frozen=True, slots=True)
class Change:
    """A value that changes: at ``position`` the instruction is about to be executed that makes it ``after``.

    ``cause`` is what is known of a change that no instruction has made. ``frame`` is the place, if symbols tell it.
    """

    position: Position
    expression: str
    before: Value
    after: Value
    frame: Frame | None
    cause: str = ""


async def change(session: Session, verb: str, target: str, *, everywhere: bool) -> Change:
    """Go where the shell's ``last`` or ``first`` (``verb``) goes, and tell what it tells of ``target``."""
    line = f"{verb} {target}{' --everywhere' if everywhere else ''}"
    async with aclosing(COMMANDS.run(session, line)) as answers:
        (told,) = [answer async for answer in answers if isinstance(answer, Changed)]
    values = read_value(told.before), read_value(told.after)
    return Change(told.stopped.stop.position, target, *values, told.stopped.frame, told.cause)


async def bisect(session: Session, symbols: GdbSymbols, condition: str, start: Position, end: Position) -> Change:
    """Go to the instruction that makes ``condition`` hold, found by halving."""
    formula = ExpressionFormula(await symbols.condition(condition))
    between, predicate = await bisection(session, FormulaPredicate(formula), start, end)
    turn = await Bisector(session.replay, predicate, between).run()
    await session.replay.seek(turn.place)
    values = read_value(turn.old), read_value(turn.new)
    return Change(turn.place, condition, *values, await symbols.frame(), turn.told_elsewhere)


async def calls(
    replay: Replay, symbols: GdbSymbols, function: str, start: Position, end: Position, *, arguments: bool
) -> AsyncGenerator[Call, None]:
    """The calls of ``function``, each told when the piece of the timeline is searched in which it returns."""
    entry = await symbols.number(f"&({function})")
    parameters = (await symbols.signature(function))[0] if arguments else ()
    forms = [Format.read(parameter.conversion).conversions[0] for parameter in parameters]
    places = await symbols.compile(function, [parameter.name for parameter in parameters]) if parameters else ()
    found_calls = find_calls(replay, entry, places, forms, start, end, task=replay.spaces.task)
    async with aclosing(found_calls) as found:
        async for call in found:
            values = map(_argument, forms, call.arguments)
            named = {parameter.name: value for parameter, value in zip(parameters, values, strict=False)}
            caller = await symbols.place(call.return_address)
            yield Call(call.position, function, caller, named, call.returned, call.end)


def _argument(form: Conversion, value: TracedValue) -> int | str:
    if isinstance(value, GuestString):
        return value.text
    return int(form.show(value), 0) if isinstance(value, int) else value


async def events(
    log: Path, kinds: Collection[EventKind] | None, start: Position, end: Position
) -> AsyncGenerator[GuestEvent, None]:
    """The events of ``kinds`` (None: those that say something to a user) from ``start`` to ``end``."""
    found = history(log, NOTABLE if kinds is None else kinds, start.icount, end.icount + 1)
    while batch := await asyncio.to_thread(list, itertools.islice(found, _AT_ONCE)):
        for event in batch:
            if start <= event.position <= end:
                yield event


async def hits(
    replay: Replay, places: Sequence[Tracepoint], start: Position, end: Position
) -> AsyncGenerator[Hit, None]:
    """Each time that one of ``places`` is reached and its expression, if it has one, is not zero.

    An expression that cannot be evaluated there does not hold.
    """
    points, holds = conditional(places)
    points = await replay.bound_here(points)
    async with aclosing(replay.scan(points, start, end, holds)) as found:
        async for hit in found:
            yield hit


def conditional(places: Sequence[Tracepoint]) -> tuple[Sequence[Breakpoint], Accept | None]:
    """Breakpoints at ``places``, for one time, and what judges their conditions, if they have some."""
    conditions = {place.address: place.expressions for place in places}
    points = [Breakpoint(-1 - number, place.address) for number, place in enumerate(places)]
    return points, _Holds(conditions) if any(conditions.values()) else None


@dataclass(frozen=True, slots=True)
class _Holds:
    """Judges hits of breakpoints for one time by conditions, which must hold all; by their addresses."""

    conditions: Mapping[int, Sequence[Expression]]

    async def __call__(self, machine: Machine, point: Breakpoint) -> bool:
        if point.number >= 0:
            return True
        packet = await machine.register_packet()
        try:
            return all([await evaluate(condition, machine, packet) for condition in self.conditions[point.address]])
        except RspError:
            return False
