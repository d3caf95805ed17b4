"""Positions that only a walk from below tells, in a machine of its own: where going backwards stops."""

from __future__ import annotations

from rrdbg.engine.search.access import StartAt
from rrdbg.errors import LinkError
from rrdbg.model.hits.stop import Hit
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position


async def step_before(start_at: StartAt, timeline: Timeline, position: Position) -> Position:
    """The stop that a single-stepper makes just before ``position``."""
    if position.phase:
        return Position(position.icount, position.phase - 1)
    below = position.icount - 1
    if timeline.deliveries.is_plain(below):
        return Position(below)
    walker = await start_at(timeline.deliveries.plain_at_or_before(below))
    try:
        while (step := await walker.step()).after.icount <= below:
            pass
        return step.before
    finally:
        await walker.machine.close()


async def exact_position(start_at: StartAt, timeline: Timeline, hit: Hit) -> Position:
    """The exact position of a breakpoint's ``hit``, found by stepping through its icount if need be."""
    if hit.exact:
        return hit.position
    icount = hit.position.icount
    walker = await start_at(timeline.deliveries.plain_at_or_before(icount - 1))
    try:
        while walker.position.icount <= icount:
            pc = await walker.machine.pc()
            step = await walker.step()
            if step.before.icount == icount and pc == hit.pc and not walker.interrupted(step):
                return step.before
    finally:
        await walker.machine.close()
    raise LinkError(f"{hit.point} was hit at {hit.position} in one pass, and not in the next.")


def steps_ahead(timeline: Timeline, position: Position, most: int) -> int:
    """How many of the next ``most`` single steps from ``position`` end at plain icounts, one after the other.

    Nothing is delivered on the way, so as many instructions are as many steps, and a run does for them.
    """
    here = position.icount
    if not timeline.deliveries.is_plain(here):
        return 0
    last = min(here + most, timeline.end.icount - 1)
    among = timeline.deliveries.between(here, last)
    return max((among[0] - 1 if among else last) - here, 0)


WORTH_A_RUN = 16
"""Steps that take longer than the fence of a run."""
