"""GDB's agent expressions: a small stack machine's bytecode, in which GDB hands conditions to a target.

Opcodes and their meaning are from the GDB manual, "The GDB Agent Expression Mechanism". Values are 64 bits wide;
whether one is signed the operation says. An expression may read registers and memory and changes nothing; the
tracing opcodes only touch what they read, and trace state variables are not known here.

Evaluation is a generator, so that this module does no I/O: it yields what it needs (:class:`NeedRegister`,
:class:`NeedMemory`), is sent the answer, and returns the value.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

from rrdbg.errors import UsageError

MOST_OPERATIONS = 10_000
"""A condition that runs longer is taken to loop forever."""

MOST_VALUES = 1_000
"""The deepest stack."""

_MASK = (1 << 64) - 1


class BadExpression(UsageError):
    """The bytecode cannot be run: unknown opcode, empty stack, division by zero, endless loop."""


@dataclass(frozen=True, slots=True)
class NeedRegister:
    """The value of the register with this number in the target description is needed."""

    number: int


@dataclass(frozen=True, slots=True)
class NeedMemory:
    """These bytes of memory are needed."""

    address: int
    length: int


Evaluation = Generator[NeedRegister | NeedMemory, int | bytes, int]


@dataclass(frozen=True, slots=True)
class Expression:
    """One agent expression."""

    code: bytes

    def evaluate(self, byte_order: Literal["little", "big"]) -> Evaluation:
        """Run it; the value is the top of the stack at ``end``, unsigned.

        :raises BadExpression: it cannot be run.
        """
        return _Run(self.code, byte_order).run()

    @property
    def registers(self) -> frozenset[int]:
        """The numbers of the registers that operations in it read."""
        found, place = set(), 0
        while place < len(self.code):
            opcode = self.code[place]
            if opcode == 0x26:
                found.add(int.from_bytes(self.code[place + 1 : place + 3], "big"))
            place += 1 + _ARGUMENTS.get(opcode, 0)
        return frozenset(found)

    @property
    def reads_registers(self) -> bool:
        """True if there is an operation in it that needs a register."""
        return bool(self.registers)


def _signed(value: int, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _divided(a: int, b: int) -> int:
    """Division as C does it: towards zero."""
    if b == 0:
        raise BadExpression("The condition divides by zero.")
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_BINARY: dict[int, Callable[[int, int], int]] = {
    0x02: lambda a, b: a + b,
    0x03: lambda a, b: a - b,
    0x04: lambda a, b: a * b,
    0x05: lambda a, b: _divided(_signed(a), _signed(b)),
    0x06: _divided,
    0x07: lambda a, b: _signed(a) - _signed(b) * _divided(_signed(a), _signed(b)),
    0x08: lambda a, b: a - b * _divided(a, b),
    0x09: lambda a, b: a << b if b < 64 else 0,
    0x0A: lambda a, b: _signed(a) >> min(b, 63),
    0x0B: lambda a, b: a >> b if b < 64 else 0,
    0x0F: lambda a, b: a & b,
    0x10: lambda a, b: a | b,
    0x11: lambda a, b: a ^ b,
    0x13: lambda a, b: int(a == b),
    0x14: lambda a, b: int(_signed(a) < _signed(b)),
    0x15: lambda a, b: int(a < b),
}

_REFERENCES = {0x17: 1, 0x18: 2, 0x19: 4, 0x1A: 8}
_CONSTANTS = {0x22: 1, 0x23: 2, 0x24: 4, 0x25: 8}

_ARGUMENTS = {
    **_CONSTANTS, 0x0D: 1, 0x16: 1, 0x20: 2, 0x21: 2, 0x26: 2, 0x2A: 1, 0x30: 2, 0x32: 1,
}  # fmt: skip
"""Bytes that follow an opcode, where any do."""


class _Run:
    def __init__(self, code: bytes, byte_order: Literal["little", "big"]) -> None:
        self._code = code
        self._order = byte_order
        self._place = 0
        self._stack: list[int] = []

    def run(self) -> Evaluation:
        for _ in range(MOST_OPERATIONS):
            opcode = self._argument(1)
            if opcode == 0x27:  # end
                return self._pop()
            if opcode in _REFERENCES:
                data = yield NeedMemory(self._pop(), _REFERENCES[opcode])
                assert isinstance(data, bytes)
                self._push(int.from_bytes(data, self._order))
            elif opcode == 0x26:  # reg
                value = yield NeedRegister(self._argument(2))
                assert isinstance(value, int)
                self._push(value)
            else:
                self._simple(opcode)
        raise BadExpression(f"The condition runs for more than {MOST_OPERATIONS} operations.")

    def _simple(self, opcode: int) -> None:
        if opcode in _BINARY:
            b, a = self._pop(), self._pop()
            self._push(_BINARY[opcode](a, b))
        elif opcode in _CONSTANTS:
            self._push(self._argument(_CONSTANTS[opcode]))
        else:
            self._other(opcode)

    def _other(self, opcode: int) -> None:
        stack = self._stack
        match opcode:
            case 0x0C:  # trace: address and size stay out of the stack
                self._pop()
                self._pop()
            case 0x0D | 0x30:  # trace_quick, trace16
                self._argument(1 if opcode == 0x0D else 2)
                self._need(1)
            case 0x0E:  # log_not
                self._push(int(self._pop() == 0))
            case 0x12:  # bit_not
                self._push(~self._pop())
            case 0x16:  # ext: sign-extend from so many bits
                bits = self._argument(1)
                if not 1 <= bits <= 64:
                    raise BadExpression(f"The condition extends from {bits} bits.")
                self._push(_signed(self._pop(), bits))
            case 0x2A:  # zero_ext
                self._push(self._pop() & ((1 << self._argument(1)) - 1))
            case 0x20:  # if_goto
                target = self._argument(2)
                if self._pop():
                    self._place = target
            case 0x21:  # goto
                self._place = self._argument(2)
            case 0x28:  # dup
                self._need(1)
                self._push(stack[-1])
            case 0x29:  # pop
                self._pop()
            case 0x2B:  # swap
                self._need(2)
                stack[-1], stack[-2] = stack[-2], stack[-1]
            case 0x32:  # pick
                depth = self._argument(1)
                self._need(depth + 1)
                self._push(stack[-1 - depth])
            case 0x33:  # rot: the third comes to the bottom of the three, the top two above it
                self._need(3)
                stack[-3:] = [stack[-1], stack[-3], stack[-2]]
            case _:
                raise BadExpression(f"The condition has the opcode {opcode:#04x}, which cannot be run here.")

    def _argument(self, size: int) -> int:
        raw = self._code[self._place : self._place + size]
        if len(raw) < size:
            raise BadExpression("The condition's bytecode ends too early.")
        self._place += size
        return int.from_bytes(raw, "big")

    def _need(self, count: int) -> None:
        if len(self._stack) < count:
            raise BadExpression("The condition takes more values from its stack than there are.")

    def _pop(self) -> int:
        self._need(1)
        return self._stack.pop()

    def _push(self, value: int) -> None:
        if len(self._stack) >= MOST_VALUES:
            raise BadExpression("The condition overflows its stack.")
        self._stack.append(value & _MASK)
