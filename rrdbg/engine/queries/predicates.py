"""Predicates that a bisect asks, of the guest where the cursor stands or of what is known without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar, Protocol

from rrdbg.engine.queries.evaluate import answer
from rrdbg.engine.replay import Replay
from rrdbg.errors import OutOfRange, RspError
from rrdbg.links.machine import Machine, ReadMemory
from rrdbg.model.hits.bisection import Away, Judgement, Verdict
from rrdbg.model.hits.predicate import NOT_THERE, Formula
from rrdbg.model.program.agent import BadExpression
from rrdbg.store.history import Console


class Predicate(Protocol):
    """Says of the cursor's position whether something holds there.

    ``quick`` tells that asking costs no more than a single step, ``offline`` that the position alone is enough.
    """

    quick: bool
    offline: bool

    async def judge(self, replay: Replay) -> Judgement:
        """The verdict at the cursor, which may be moved; who asks puts it where it is wanted."""
        ...


Memory = Callable[[Machine], AbstractAsyncContextManager[ReadMemory]]
"""What reads the memory that is meant where a machine stands; it may raise :class:`~.bisection.Away`."""


@asynccontextmanager
async def _in_use(machine: Machine) -> AsyncIterator[ReadMemory]:
    yield machine.read_memory


class FormulaPredicate:
    """A formula, asked of the cursor's machine, and of its memory as it is in use there unless another is given.

    What has no value there does not hold.
    """

    quick: bool = True
    offline: bool = False

    def __init__(self, formula: Formula, memory: Memory = _in_use) -> None:
        self.formula = formula
        self._memory = memory

    async def judge(self, replay: Replay) -> Judgement:
        """The formula's verdict at the cursor."""
        machine = await replay.machine()
        try:
            question = self.formula.ask(machine.register_file.byte_order)
            packet = await machine.register_packet()
            async with self._memory(machine) as read:
                return await answer(question, machine, packet, read)
        except Away:
            return Judgement(Verdict.AWAY, "<it has no memory of its own>")
        except RspError:
            return NOT_THERE
        except BadExpression as error:
            return Judgement(Verdict.GOOD, f"<{error}>")


class ConsolePredicate:
    """True from where the guest has printed the last byte of a text."""

    quick: bool = True
    offline: bool = True
    _VALUES: ClassVar = {Verdict.GOOD: "<not printed>", Verdict.BAD: "<printed>"}

    def __init__(self, console: Console, text: str) -> None:
        """Find ``text``.

        :raises OutOfRange: it is never printed.
        """
        self._console = console
        place = console.text.find(text.encode())
        if place < 0:
            raise OutOfRange(f"The guest never prints {text!r}; 'rrdbg console' shows what it prints.")
        self._size = place + len(text.encode())

    async def judge(self, replay: Replay) -> Judgement:
        """The verdict at the cursor, for which no machine is needed."""
        printed = self._console.size_at(replay.position) >= self._size
        verdict = Verdict.BAD if printed else Verdict.GOOD
        return Judgement(verdict, self._VALUES[verdict])
