"""What only a debugger with the guest's symbols can tell; a front end that has one lends it to its session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rrdbg.model.program.agent import Expression
from rrdbg.model.program.tracing import Parameter, Tracepoint
from rrdbg.model.program.variable import Variable
from rrdbg.model.results import Frame


class Symbols(Protocol):
    """Expressions and source locations, understood at the cursor."""

    async def load(self, path: str, line: str) -> None:
        """Run GDB's command ``line``, which reads the symbols of ``path``; what was read of that before is forgotten.

        :raises GdbError: GDB cannot read them.
        """
        ...

    async def load_made(self, name: str, content: bytes) -> None:
        """Read the symbols of an ELF file that was made of what the guest says itself; as for :meth:`load`.

        :raises GdbError: GDB cannot read them.
        """
        ...

    async def variable(self, expression: str) -> Variable:
        """The place in memory of an expression's value.

        :raises GdbError: it cannot be evaluated here, or has no address.
        """
        ...

    async def number(self, expression: str) -> int:
        """The value of an expression as an unsigned number.

        :raises GdbError: it has none here, or is no number.
        """
        ...

    async def value(self, expression: str) -> str:
        """The value of an expression, as GDB's ``print`` shows it.

        :raises GdbError: it has none here.
        """
        ...

    async def frame(self) -> Frame | None:
        """The function and line at the cursor; None where that is not known."""
        ...

    async def condition(self, expression: str) -> Expression:
        """An expression compiled to be judged anywhere in the recording, so without local variables.

        :raises GdbError: it cannot be compiled, or has some.
        """
        ...

    async def place(self, address: int) -> str:
        """The function at an address, and how far into it: ``log_append+40``; the number where there is none."""
        ...

    async def code(self, address: int) -> str:
        """The same; empty where it is no code with a name."""
        ...

    async def signature(self, function: str) -> tuple[Sequence[Parameter], str]:
        """The parameters of a function that can be printed, in order, and how its result is.

        :raises GdbError: there is no such function, or GDB has no Python.
        """
        ...

    async def compile(self, location: str, expressions: Sequence[str]) -> Sequence[Tracepoint]:
        """The addresses of a source location, each with ``expressions`` compiled for it.

        :raises GdbError: there is no such location, or an expression cannot be compiled.
        """
        ...
