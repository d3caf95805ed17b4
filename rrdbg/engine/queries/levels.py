"""Which code runs, and at which privilege level, at every so many instructions: the cheapest look at a whole run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.queries.sampling import sampled
from rrdbg.engine.replay import Replay
from rrdbg.model.program.privilege import privilege
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Level:
    """At ``position`` the instruction at ``pc`` is next; ``privilege`` is empty where that is not known."""

    position: Position
    pc: int
    privilege: str


def levels(replay: Replay, every: int, start: Position, end: Position) -> AsyncGenerator[Level, None]:
    """Who runs at each multiple of ``every`` instructions from ``start`` on and before ``end``; the cursor stays."""
    return sampled(replay, every, start, end, _look)


async def _look(walker: Walker) -> Level:
    machine = walker.machine
    return Level(walker.position, await machine.pc(), privilege(await machine.registers()))
