"""One single step, and which watchpoints it set off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rrdbg.engine.machines.walk import Step, Walker
from rrdbg.errors import RspError
from rrdbg.links.address_space import space_in_use
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Hit, WatchKind, Watchpoint, value_change
from rrdbg.model.hits.unwritten import Unwritten
from rrdbg.model.timeline.events import EventKind
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.store.history import history

_DEVICES = frozenset({EventKind.BLOCK, EventKind.PACKET})
"""What answers to a device that can write to memory."""


async def watched_step(
    walker: Walker, points: Sequence[Watchpoint], log: Path | None = None
) -> tuple[Step, tuple[Hit, ...]]:
    """Step once with ``points`` set, and return the step and their hits; positions are after the access.

    ``watch`` compares the bytes; ``rwatch`` and ``awatch`` believe QEMU, which reports one access a step. Where an
    interrupt or exception may be delivered they compare, too, since a watchpoint set then may break the replay
    (see :mod:`rrdbg.engine.search.access`): a mere read by that step goes unnoticed.

    A change where QEMU reports no access at all is no instruction's: it is told of as that, by the recording's ``log``,
    if there is one. Of physical memory it is not known by which address to ask QEMU: each change counts as written.

    A step that changes what is mapped has not written to it: neither one behind which other page tables are in use, nor
    one before or behind which nothing is mapped. To physical memory that makes no difference.
    """
    machine = walker.machine
    before = [await watched_bytes(machine, point) for point in points]
    space = await space_in_use(machine) if points else None
    here = walker.position.icount
    risky = walker.timeline.deliveries.any_between(here, here + 1)
    accesses = [] if risky else [point for point in points if point.physical is None]
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
        hit = await hit_of(walker, point, old)
        if point.kind is WatchKind.WRITE or point not in accesses:
            alike = hit.space == space or point.physical is not None
            happened = alike and changes(hit) and point.kind is not WatchKind.READ
            if happened and point in accesses and step.reply.watched is None:
                happened = log is not None
                hit = (
                    replace(hit, unwritten=unwritten(log, walker.timeline, point, step.before, step.after))
                    if log
                    else hit
                )
        else:
            _, address = step.reply.watched or ("", -1)
            happened = point.address <= address < point.address + point.length
        if happened:
            hits.append(hit)
    return step, tuple(hits)


def unwritten(log: Path, timeline: Timeline, point: Watchpoint, before: Position, after: Position) -> Unwritten:
    """What the recording's ``log`` tells of a change of ``point`` between ``before`` and ``after``."""
    event = next(history(log, _DEVICES, before.icount, timeline.end.icount + 1), None)
    return Unwritten(before, after, event, physical=point.physical is not None)


async def hit_of(walker: Walker, point: Watchpoint, before: bytes | None) -> Hit:
    """The hit of ``point`` by an access that has led ``walker`` to where it stands; the bytes were ``before`` it."""
    machine = walker.machine
    change = value_change(before, await watched_bytes(machine, point))
    return Hit(walker.position, await machine.pc(), point, change, space=await space_in_use(machine))


def changes(hit: Hit) -> bool:
    """False if the bytes are the same after it as before, or if one of both is not known."""
    return hit.change is not None and hit.change.before != hit.change.after


async def watched_bytes(machine: Machine, point: Watchpoint) -> bytes | None:
    """The watched bytes, or None while they are not mapped."""
    try:
        if point.physical:
            return await machine.read_physical(point.physical.address, point.physical.length)
        return await machine.read_memory(point.address, point.length)
    except RspError:
        return None
