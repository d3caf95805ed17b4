"""What a search for writes or reads is about: an expression, and in which memory it is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrdbg.commands.arguments import read_range
from rrdbg.commands.session import Session
from rrdbg.errors import GdbError, UsageError
from rrdbg.links.translation import physical_here
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import WatchKind, Watchpoint, check_physical
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.scope import BEHIND, EVERYWHERE, PHYSICAL, read_scope, read_task
from rrdbg.model.program.variable import Variable

PHYSICAL_DETAILS = (
    "With --physical it is the memory itself, by whatever address it is written to: what is behind EXPR at the cursor, "
    "or, as *ADDRESS:LENGTH, at that physical address; with --behind what is behind a virtual one. QEMU's plugin is "
    "needed for that ('info accelerator')."
)

TASK_DETAILS = (
    "With --task only accesses count that this task makes, or any thread of the process with this number, whatever "
    "address space it has; when it runs is found in one pass over the stretch, and kept ('info switches')."
)

CONDITION_DETAILS = (
    "With a condition, an expression without local variables, only those writes count behind which it holds; changes "
    "that no instruction has made are not looked for then."
)

_BYTES = re.compile(r"\*.+:\d+")


@dataclass(frozen=True, slots=True)
class Scopes:
    """The words beside a subject: in ``everywhere`` or the cursor's address space, or in ``physical`` memory.

    A number is a virtual address all the same if what is ``behind`` it is meant. ``task`` is who alone makes accesses
    that count, in whatever address space; empty: anybody.
    """

    everywhere: bool = False
    physical: bool = False
    behind: bool = False
    task: str = ""

    @classmethod
    def read(cls, text: str) -> tuple[str, Scopes]:
        """``text`` without those words, and what they say.

        :raises UsageError: they contradict each other.
        """
        text, task = read_task(text)
        text, first = read_scope(text, EVERYWHERE)
        text, physical = read_scope(text, PHYSICAL)
        text, behind = read_scope(text, BEHIND)
        text, second = read_scope(text, EVERYWHERE)
        physical |= behind
        if physical and (first or second):
            raise UsageError("Physical memory is the same in every address space; leave --everywhere out.")
        if task and (first or second):
            raise UsageError("--task says whose accesses count, in whatever address space; leave --everywhere out.")
        return text, cls(first or second, physical, behind, task)


@dataclass(frozen=True, slots=True)
class Subject:
    """``text`` as it was written, the place that it means, and the ``physical`` memory behind it if that is meant."""

    text: str
    variable: Variable
    physical: PhysicalPlace | None = None

    @classmethod
    async def read(cls, session: Session, text: str, scopes: Scopes) -> Subject:
        """A place in memory: ``*ADDRESS:LENGTH``, or any expression that GDB can take the address of.

        :raises UsageError: it is missing, or needs symbols that are not there, or there is no memory behind it.
        :raises GdbError: GDB cannot.
        """
        variable = await read_variable(session, text)
        if not scopes.physical:
            return cls(text, variable)
        address: int | None = variable.address
        if variable.expression or scopes.behind:
            address = await physical_here(await session.replay.machine(), variable.address)
            if address is None:
                raise UsageError(f"Nothing is mapped at {variable.address:#x} here, so there is no memory behind it.")
        assert address is not None
        # Elsewhere the expression may mean other memory, so its bytes are shown.
        return cls(text, Variable(variable.address, variable.length, ""), PhysicalPlace(address, variable.length))

    @property
    def behind(self) -> str:
        """A line that says which memory is meant, if that was asked for by another address; else empty."""
        told = self.physical is None or self.physical.address == self.variable.address
        return "" if told else f"{self.text} is {self.physical} at the cursor."

    def point(self, kind: WatchKind = WatchKind.WRITE, number: int = -1) -> Watchpoint:
        """What looks for accesses to it, in no address space as yet.

        :raises UsageError: reads of physical memory are not found.
        """
        if self.physical is None:
            return Watchpoint(number, self.variable.address, self.variable.length, kind)
        check_physical(kind)
        return Watchpoint.on_physical(number, self.physical)


async def read_condition(session: Session, text: str) -> tuple[str, Condition | None]:
    """``EXPR if CONDITION`` in its two parts; the second is None where there is none.

    :raises UsageError: the condition is wrong, or needs symbols that are not there.
    """
    what, _, condition = (part.strip() for part in text.partition(" if "))
    if not condition:
        return text, None
    return what, Condition([await compiled(session, condition)], unclear=False)


async def compiled(session: Session, text: str) -> Expression:
    """A condition that can be judged anywhere in the recording; behind an @ it is bytecode already.

    :raises UsageError: it is wrong, or needs symbols that are not there.
    """
    if text.startswith("@"):
        try:
            return Expression(bytes.fromhex(text[1:]))
        except ValueError:
            raise UsageError(f"'{text}' is not bytecode in hexadecimal.") from None
    if session.symbols is None:
        raise UsageError("Without a GDB there are no expressions; use 'rrdbg bisect RECORDING --memory ADDR:LEN==HEX'.")
    try:
        return await session.symbols.condition(text)
    except GdbError as error:
        raise UsageError(f"The condition '{text}' is wrong: {error}") from None


async def read_variable(session: Session, text: str) -> Variable:
    """A place in memory by its virtual address, as for :meth:`Subject.read`.

    :raises UsageError: it is missing, or needs symbols that are not there.
    :raises GdbError: GDB cannot take its address.
    """
    if not text:
        raise UsageError("An expression is missing, or *ADDRESS:LENGTH.")
    if _BYTES.fullmatch(text):
        address, length = await read_range(session, text)
        return Variable(address, length, "")
    return await session.symbols_for(text, "*ADDRESS:LENGTH").variable(text)
