"""Running agent expressions, and other questions about registers and memory, where a machine stands."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from rrdbg.errors import RspError
from rrdbg.links.machine import Machine, ReadMemory
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.program.agent import BadExpression, Expression, NeedMemory, NeedRegister

T = TypeVar("T")


async def evaluate(expression: Expression, machine: Machine, packet: bytes) -> int:
    """The value of ``expression`` where ``machine`` stands; ``packet`` is its register packet.

    :raises BadExpression: the bytecode cannot be run.
    :raises RspError: it reads memory that is not mapped.
    """
    return await answer(expression.evaluate(machine.register_file.byte_order), machine, packet)


async def holds(condition: Condition, machine: Machine) -> bool:
    """Whether a breakpoint of ``condition`` counts where ``machine`` stands."""
    if not condition.alternatives:
        return True
    packet = await machine.register_packet()
    for code in condition.alternatives:
        try:
            if await evaluate(code, machine, packet):
                return True
        except (BadExpression, RspError):
            if condition.unclear:
                return True
    return False


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges hits by the ``conditions`` at addresses; it is an :data:`rrdbg.engine.search.scan.Accept`."""

    conditions: Mapping[int, Condition]

    def condition(self, point: Breakpoint) -> Condition:
        """When ``point`` counts; see :class:`~rrdbg.model.hits.condition.Conditional`."""
        return self.conditions[point.address]

    async def __call__(self, machine: Machine, point: Breakpoint) -> bool:
        """True if the breakpoint at which ``machine`` stands counts."""
        return await holds(self.condition(point), machine)


async def answer(
    question: Generator[NeedRegister | NeedMemory, int | bytes, T],
    machine: Machine,
    packet: bytes,
    read: ReadMemory | None = None,
) -> T:
    """What ``question`` returns, given the registers and the memory that it asks for, as :func:`evaluate`.

    Memory is that where ``machine`` stands, unless something else is to ``read`` it.
    """
    read = read or machine.read_memory
    try:
        need = next(question)
        while True:
            if isinstance(need, NeedRegister):
                need = question.send(await _register(need.number, machine, packet))
            else:
                need = question.send(await read(need.address, need.length))
    except StopIteration as result:
        found: T = result.value
        return found


async def _register(number: int, machine: Machine, packet: bytes) -> int:
    """A register, by its number; the program counter as a linear address, as debuggers see it."""
    file = machine.register_file
    digits = file.digits(packet, number)
    if digits is None:
        raise BadExpression(f"The expression reads register {number}, which is not there.")
    value = int.from_bytes(bytes.fromhex(digits.decode()), file.byte_order)
    if file.segmented and number == file.registers[file.pc].number and (segment := await machine.code_segment()):
        return segment.linear(value)
    return value
