"""One single step, and which watchpoints it set off."""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.engine.machines.walk import Step, Walker
from rrdbg.errors import RspError
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Hit, ValueChange, WatchKind, Watchpoint


async def watched_step(walker: Walker, points: Sequence[Watchpoint]) -> tuple[Step, tuple[Hit, ...]]:
    """Step once with ``points`` set, and return the step and their hits; positions are after the access.

    ``watch`` compares the bytes; ``rwatch`` and ``awatch`` believe QEMU, which reports one access a step. Where an
    interrupt or exception may be delivered they compare, too, since a watchpoint set then may break the replay
    (see :mod:`rrdbg.engine.search.access`): a mere read by that step goes unnoticed.
    """
    machine = walker.machine
    before = [await watched_bytes(machine, point) for point in points]
    here = walker.position.icount
    risky = walker.timeline.deliveries.any_between(here, here + 1)
    accesses = [] if risky else [point for point in points if point.kind is not WatchKind.WRITE]
    for point in accesses:
        await machine.insert(point)
    try:
        step = await walker.step()
    finally:
        if machine.usable:
            for point in accesses:
                await machine.remove(point)
    hits = []
    for point, old in zip(points, before, strict=True):
        new = await watched_bytes(machine, point)
        if point not in accesses:
            # What the step has mapped or unmapped it has not written to.
            happened = None not in (old, new) and old != new and point.kind is not WatchKind.READ
        else:
            _, address = step.reply.watched or ("", -1)
            happened = point.address <= address < point.address + point.length
        if happened:
            change = None if old is None or new is None else ValueChange(old, new)
            hits.append(Hit(step.after, await machine.pc(), point, change))
    return step, tuple(hits)


async def watched_bytes(machine: Machine, point: Watchpoint) -> bytes | None:
    """The watched bytes, or None while they are not mapped."""
    try:
        return await machine.read_memory(point.address, point.length)
    except RspError:
        return None
