"""Which predicate the command line, or a log, asks for."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rrdbg.commands.arguments import read_address
from rrdbg.engine.queries.predicates import ConsolePredicate, FormulaPredicate, Predicate
from rrdbg.engine.replay import Replay
from rrdbg.errors import GdbError, UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.bisect.command import CommandPredicate
from rrdbg.frontends.bisect.python import PythonPredicate, load
from rrdbg.frontends.shared.opening import symbols_of
from rrdbg.model.hits.bisection import Judgement, Verdict
from rrdbg.model.hits.predicate import ExpressionFormula, MemoryTest

_NO_MEMORY = "Cannot access memory"
"""What GDB says where the expression is right, and what it reads is not mapped yet."""

KINDS = {"expr": "expr", "memory": "memory", "python": "python", "console": "console", "run": "command"}
"""The kinds of predicates, which are options, and the names of their values."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A predicate as it was written: one of :data:`KINDS`, and its words."""

    kind: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        match self.kind:
            case "expr":
                return f"'{self.words[0]}' holds"
            case "memory":
                return f"memory is {self.words[0]}"
            case "console":
                return f"the console has printed {self.words[0]!r}"
            case "python":
                return f"{self.words[0]} is true"
            case _:
                return f"'{' '.join(self.words)}' fails"


def asked(arguments: argparse.Namespace) -> Asked | None:
    """The one that the command line has; None if it has none.

    :raises UsageError: it has several.
    """
    given = [kind for kind, name in KINDS.items() if getattr(arguments, name) is not None]
    if len(given) > 1:
        raise UsageError(f"One predicate at a time: {' and '.join(f'--{kind}' for kind in given)} are given.")
    if not given:
        return None
    words = getattr(arguments, KINDS[given[0]])
    if arguments.theirs and given[0] != "run":
        raise UsageError(f"Nothing may follow -- here: {' '.join(arguments.theirs)}")
    if given[0] == "run":
        return Asked("run", (*words, *arguments.theirs))
    return Asked(given[0], (words,))


@asynccontextmanager
async def predicate(wanted: Asked, api: AsyncReplay, arguments: argparse.Namespace) -> AsyncIterator[Predicate]:
    """The predicate itself, and what it needs as long as it is asked.

    :raises UsageError: it is malformed.
    """
    match wanted.kind:
        case "expr":
            yield await _expression(wanted.words[0], api)
        case "memory":
            test = MemoryTest.read(wanted.words[0])
            yield FormulaPredicate(test.at(await _address(test.place, api)))
        case "python":
            yield PythonPredicate(load(wanted.words[0]), wanted.words[0], api, arguments.timeout)
        case "console":
            yield ConsolePredicate(await api.session.console(), wanted.words[0])
        case _:
            symbols = symbols_of(api.cursor.recording, arguments.symbols)
            serving = CommandPredicate.serving(
                api.cursor, wanted.words, symbols, arguments.timeout, quiet=arguments.quiet
            )  # fmt: skip
            async with serving as command:
                yield command


async def _address(place: str, api: AsyncReplay) -> int:
    try:
        return await read_address(api.session, place)
    except UsageError:
        return await (await api.debugger()).symbols.number(place)


async def _expression(text: str, api: AsyncReplay) -> Predicate:
    """Compiled if that is possible, which needs no GDB where it is judged; an expression with locals is not."""
    symbols = (await api.debugger()).symbols
    try:
        (place,) = await symbols.compile("*0", [text])
    except (GdbError, UsageError):
        return _GdbPredicate(text, api)
    return FormulaPredicate(ExpressionFormula(place.expressions[0]))


def check_had_value(predicate: Predicate) -> None:
    """Whether what was asked for made sense at one place at least.

    :raises UsageError: GDB could evaluate the expression nowhere: a name is misspelt, or it is no expression.
    """
    if isinstance(predicate, _GdbPredicate):
        predicate.check_had_value()


class _GdbPredicate:
    """An expression that GDB evaluates where the cursor is. Where it cannot, the expression does not hold."""

    quick: bool = False
    offline: bool = False

    def __init__(self, text: str, api: AsyncReplay) -> None:
        self._text = text
        self._api = api
        self._never: str | None = ""

    def check_had_value(self) -> None:
        """Whether GDB has known at one place at least what the expression means.

        :raises UsageError: it has not.
        """
        if self._never:
            raise UsageError(f"The expression '{self._text}' is wrong, or has no value there: {self._never}")

    async def judge(self, replay: Replay) -> Judgement:
        """What GDB says at the cursor."""
        symbols = (await self._api.debugger()).symbols
        try:
            value = await symbols.value(self._text)
            holds = await symbols.number(f"(long)(({self._text}) != 0)")
        except GdbError as error:
            if self._never is not None and _NO_MEMORY not in str(error):
                self._never = str(error)
            return Judgement(Verdict.GOOD, f"<{error}>")
        self._never = None
        return Judgement(Verdict.BAD if holds else Verdict.GOOD, value)
