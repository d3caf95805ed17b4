"""What only a debugger with the guest's symbols can tell; a front end that has one lends it to its session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rrdbg.model.tracing import Tracepoint


class Symbols(Protocol):
    """Expressions and source locations, understood at the cursor."""

    async def variable(self, expression: str) -> tuple[int, int]:
        """The virtual address of an expression's value, and its size in bytes.

        :raises GdbError: it cannot be evaluated here, or has no address.
        """
        ...

    async def value(self, expression: str) -> str:
        """The value of an expression, as GDB's ``print`` shows it.

        :raises GdbError: it has none here.
        """
        ...

    async def compile(self, location: str, expressions: Sequence[str]) -> Sequence[Tracepoint]:
        """The addresses of a source location, each with ``expressions`` compiled for it.

        :raises GdbError: there is no such location, or an expression cannot be compiled.
        """
        ...
