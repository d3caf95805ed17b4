"""Running agent expressions, and other questions about registers and memory, where a machine stands."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from rrdbg.links.machine import Machine
from rrdbg.model.program.agent import BadExpression, Expression, NeedMemory, NeedRegister

T = TypeVar("T")


async def evaluate(expression: Expression, machine: Machine, packet: bytes) -> int:
    """The value of ``expression`` where ``machine`` stands; ``packet`` is its register packet.

    :raises BadExpression: the bytecode cannot be run.
    :raises RspError: it reads memory that is not mapped.
    """
    return await answer(expression.evaluate(machine.register_file.byte_order), machine, packet)


async def answer(question: Generator[NeedRegister | NeedMemory, int | bytes, T], machine: Machine, packet: bytes) -> T:
    """What ``question`` returns, given the registers and the memory that it asks for, as :func:`evaluate`."""
    order = machine.register_file.byte_order
    try:
        need = next(question)
        while True:
            if isinstance(need, NeedRegister):
                digits = machine.register_file.digits(packet, need.number)
                if digits is None:
                    raise BadExpression(f"The expression reads register {need.number}, which is not there.")
                need = question.send(int.from_bytes(bytes.fromhex(digits.decode()), order))
            else:
                need = question.send(await machine.read_memory(need.address, need.length))
    except StopIteration as result:
        found: T = result.value
        return found
