"""Breakpoint conditions, judged here at each hit, so that GDB never hears of the false ones."""

from __future__ import annotations

from rrdbg.errors import RspError
from rrdbg.frontends.server.points import PointSet
from rrdbg.links.machine import Machine
from rrdbg.model.agent import BadExpression, Expression, NeedRegister
from rrdbg.model.stop import Breakpoint


class Conditions:
    """Judges hits by the conditions of ``points``; it is an :data:`rrdbg.engine.scan.Accept`."""

    def __init__(self, points: PointSet) -> None:
        self._points = points

    async def __call__(self, machine: Machine, point: Breakpoint) -> bool:
        """True if the breakpoint at which ``machine`` stands counts.

        A condition that cannot be evaluated counts as true, as in GDB's own server: GDB then evaluates it
        again and tells the user what is wrong with it.
        """
        if point.number >= 0:
            return True
        conditions = self._points.conditions_at(point.address)
        if not conditions:
            return True
        packet = await machine.register_packet()
        for condition in conditions:
            try:
                if await evaluate(condition, machine, packet):
                    return True
            except (BadExpression, RspError):
                return True
        return False


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
                    raise BadExpression(f"The condition reads register {need.number}, which is not there.")
                need = run.send(int.from_bytes(bytes.fromhex(digits.decode()), order))
            else:
                need = run.send(await machine.read_memory(need.address, need.length))
    except StopIteration as result:
        return int(result.value)
