"""Writes under a condition: those that change a place, and behind which something holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from rrdbg.engine.queries.evaluate import holds
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.follower import Follower
from rrdbg.engine.search.write_condition import WriteCondition
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Hit, NotedHit, Watchpoint
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.travel.plan import plan_reverse_scan


async def writes(
    replay: Replay,
    point: Watchpoint,
    condition: Condition,
    start: Position,
    end: Position,
    *,
    foreign: bool = False,
) -> AsyncGenerator[Hit, None]:
    """The writes from ``start`` to ``end`` that change the place of ``point``, behind which ``condition`` holds.

    One that cannot be told there does not. ``foreign`` is as for :meth:`~rrdbg.engine.replay.Replay.scan`. Changes that
    no instruction has made are not among them.
    """
    follower = Follower(replay.start_at, lambda: replay.timeline)
    found = replay.scan([point], start, end, WriteCondition(condition, holds), foreign=foreign)
    try:
        async with replay.still(), aclosing(found) as hits:
            async for hit in hits:
                if isinstance(hit, NotedHit) or await holds(condition, (await follower.at(hit.position)).machine):
                    yield hit
    finally:
        await follower.close()


async def last_write(replay: Replay, point: Watchpoint, condition: Condition, here: Position) -> Hit | None:
    """The last of :func:`writes` before ``here``: one part of the timeline after the other, the nearest first."""
    for segment in plan_reverse_scan(replay.timeline, here, START.icount):
        low = max(segment.start, START)
        if low < segment.end:
            found = [hit async for hit in writes(replay, point, condition, low, segment.end)]
            if found:
                return found[-1]
    return None
