"""What a bisect asks of the guest's registers and memory, as questions that say what they need to know.

A question is a generator, as in :mod:`rrdbg.model.program.agent`: it yields registers and memory that it needs, is sent
them, and returns a judgement. So it can be asked of a machine, or of bytes that are known already.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from rrdbg.errors import UsageError
from rrdbg.model.hits.bisection import Judgement, Verdict
from rrdbg.model.program.agent import Expression, NeedMemory, NeedRegister

Question = Generator[NeedRegister | NeedMemory, int | bytes, Judgement]
ByteOrder = Literal["little", "big"]

NOT_THERE = Judgement(Verdict.GOOD, "<not mapped>")
"""What is not mapped has no value yet, and so not the value that is looked for."""

_MEMORY = re.compile(r"(?P<place>.+):(?P<length>\d+)\s*(?P<operator>[=!]=)\s*(?P<value>0x)?(?P<digits>[0-9a-fA-F ]+)")
_MOST_BYTES = 4096


class Formula(Protocol):
    """Something to ask that depends on registers and memory alone."""

    def ask(self, order: ByteOrder) -> Question:
        """The question, of a guest with this order of bytes."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryTest:
    """``length`` bytes at ``place``, an address or an expression for one, and what they are to be, or not to be.

    ``number`` tells that the digits are a number, to be read in the guest's order of bytes.
    """

    place: str
    length: int
    wanted: bytes
    equal: bool = True
    number: bool = False

    @classmethod
    def read(cls, text: str) -> MemoryTest:
        """Take apart ``ADDRESS:LENGTH==HEX``: the bytes as they lie in memory, or with ``0x`` a number; or ``!=``.

        :raises UsageError: it is something else.
        """
        match = _MEMORY.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"'{text}' is not a test of memory; write ADDRESS:LENGTH==HEX, as in 0x1000:2==cdab.")
        length, digits = int(match["length"]), match["digits"].replace(" ", "")
        if match["value"]:
            digits = digits.zfill(2 * length)
        if not 1 <= length <= _MOST_BYTES or len(digits) != 2 * length:
            raise UsageError(
                f"'{text}': {length} bytes are {2 * length} hexadecimal digits, and not {len(digits)}; "
                f"1 to {_MOST_BYTES} bytes may be tested."
            )
        return cls(match["place"], length, bytes.fromhex(digits), match["operator"] == "==", bool(match["value"]))

    def at(self, address: int) -> MemoryFormula:
        """The test with its place known."""
        return MemoryFormula(address, self)


@dataclass(frozen=True, slots=True)
class MemoryFormula:
    """A :class:`MemoryTest` at ``address``."""

    address: int
    test: MemoryTest

    def ask(self, order: ByteOrder) -> Question:
        """True where the bytes are what they are to be."""
        wanted = self.test.wanted[::-1] if self.test.number and order == "little" else self.test.wanted
        found = yield NeedMemory(self.address, self.test.length)
        assert isinstance(found, bytes)
        return Judgement(Verdict.BAD if (found == wanted) == self.test.equal else Verdict.GOOD, found.hex())


@dataclass(frozen=True, slots=True)
class ExpressionFormula:
    """An expression, compiled, that is true where it is not zero."""

    code: Expression

    def ask(self, order: ByteOrder) -> Question:
        """True where the value is not zero."""
        value = yield from self.code.evaluate(order)
        return Judgement(Verdict.BAD if value else Verdict.GOOD, str(value))
