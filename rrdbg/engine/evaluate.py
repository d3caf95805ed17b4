"""Running agent expressions where a machine stands."""

from __future__ import annotations

from rrdbg.links.machine import Machine
from rrdbg.model.agent import BadExpression, Expression, NeedRegister


async def evaluate(expression: Expression, machine: Machine, packet: bytes) -> int:
    """The value of ``expression`` where ``machine`` stands; ``packet`` is its register packet.

    :raises BadExpression: the bytecode cannot be run.
    :raises RspError: it reads memory that is not mapped.
    """
    order = machine.register_file.byte_order
    run = expression.evaluate(order)
    try:
        need = next(run)
        while True:
            if isinstance(need, NeedRegister):
                digits = machine.register_file.digits(packet, need.number)
                if digits is None:
                    raise BadExpression(f"The expression reads register {need.number}, which is not there.")
                need = run.send(int.from_bytes(bytes.fromhex(digits.decode()), order))
            else:
                need = run.send(await machine.read_memory(need.address, need.length))
    except StopIteration as result:
        return int(result.value)
