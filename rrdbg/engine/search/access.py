"""Which single steps access a watchpoint's memory, where QEMU's watchpoints alone cannot be believed.

QEMU (measured on 7.2) checks watchpoints also while it delivers an interrupt or exception, and breaks the delivery
off half-way to report one that fires on the frame it pushes. The delivery is then lost and the icount falls back by
65,535: the replay stands still, or QEMU aborts (``replay_advance_current_icount: Assertion 'diff >= 0' failed``).
So no watchpoint may be set while something is delivered that touches it; and since a machine that has tried is lost,
whether it does is found out in machines of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search.watch import hit_of, watched_bytes
from rrdbg.errors import Divergence, QemuDied
from rrdbg.model.hits.stop import Hit, Watchpoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

LOST_BY_DELIVERY = 0xFFFF
"""By how much the icount falls back where a watchpoint breaks a delivery off."""

StartAt = Callable[[int], Awaitable[Walker]]
"""Give a fresh walker at a plain icount."""


async def accesses(
    start_at: StartAt, timeline: Timeline, point: Watchpoint, start: Position, end: Position
) -> list[Hit]:
    """The hits of ``point`` by the single steps from ``start`` to ``end``, in order; a write may change nothing."""
    found = []
    while start < end:
        async with _at(start_at, timeline, start) as walker:
            await walker.machine.insert(point)
            try:
                while walker.position < end:
                    before = await watched_bytes(walker.machine, point)
                    step = await walker.step()
                    if step.reply.watched:
                        found.append(await hit_of(walker, point, before))
                    start = step.after
            except (Divergence, QemuDied):
                if not timeline.deliveries.any_between(start.icount, start.icount + 1):
                    raise
        if start < end:
            # The step from here broke the machine: a delivery that touches the point.
            async with _at(start_at, timeline, start) as walker:
                before = await watched_bytes(walker.machine, point)
                start = (await walker.step()).after
                found.append(await hit_of(walker, point, before))
    return found


@asynccontextmanager
async def _at(start_at: StartAt, timeline: Timeline, position: Position) -> AsyncIterator[Walker]:
    walker = await start_at(timeline.landing_before(position))
    try:
        await walker.walk_to(position)
        yield walker
    finally:
        await walker.machine.close()
