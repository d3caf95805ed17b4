"""What the API's queries stream: each an asynchronous generator that works while it is asked."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.evaluate import evaluate
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError
from rrdbg.links.machine import Machine
from rrdbg.model.events import NOTABLE, EventKind, GuestEvent
from rrdbg.model.position import Position
from rrdbg.model.stop import Breakpoint, Hit
from rrdbg.model.tracing import Tracepoint
from rrdbg.store.history import history

_AT_ONCE = 1000
"""Events read before the event loop may do something else: some milliseconds' work."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the console; ``position`` is where its first character is about to be printed."""

    position: Position
    text: str


async def events(
    log: Path, kinds: Collection[EventKind] | None, start: Position, end: Position
) -> AsyncGenerator[GuestEvent, None]:
    """The events of ``kinds`` (None: those that say something to a user) from ``start`` to ``end``."""
    found = history(log, NOTABLE if kinds is None else kinds, start.icount, end.icount + 1)
    while batch := await asyncio.to_thread(list, itertools.islice(found, _AT_ONCE)):
        for event in batch:
            if start <= event.position <= end:
                yield event


async def hits(
    replay: Replay, places: Sequence[Tracepoint], start: Position, end: Position
) -> AsyncGenerator[Hit, None]:
    """Each time that one of ``places`` is reached and its expression, if it has one, is not zero.

    An expression that cannot be evaluated there does not hold.
    """
    conditions = {place.address: place.expressions for place in places}

    async def holds(machine: Machine, point: Breakpoint) -> bool:
        packet = await machine.register_packet()
        try:
            return all([await evaluate(condition, machine, packet) for condition in conditions[point.address]])
        except RspError:
            return False

    points = [Breakpoint(-1 - number, place.address) for number, place in enumerate(places)]
    async with aclosing(replay.scan(points, start, end, holds if any(conditions.values()) else None)) as found:
        async for hit in found:
            yield hit
