"""Which code of a guest was executed, and when first: one pass, with the plugin in QEMU that the accelerator uses.

A block is what QEMU has translated together; where an instruction in its middle faults what comes behind it is taken
for executed too. Addresses are virtual, and processes that have the same ones are not told apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.engine.machines.progress import Stretch
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import LinkError, PluginError
from rrdbg.links.tally import KEPT_BLOCKS, Code
from rrdbg.model.program.coverage import Block
from rrdbg.model.timeline.position import Position

EVERYTHING = Code(0, (1 << 64) - 1)


async def coverage(replay: Replay, start: Position, end: Position, code: Code = EVERYTHING) -> Sequence[Block]:
    """The blocks of ``code`` that are executed from ``start`` on and before ``end``, in the order of their first time.

    The cursor stays.

    :raises PluginError: QEMU takes no plugin here; why.
    """
    async with replay.still():
        timeline = replay.timeline
        survey = await replay.accelerator.survey(timeline, timeline.landing_before(start), [code])
        if survey is None:
            why = (await replay.accelerator.info()).text
            raise PluginError(f"What was executed only a plugin in QEMU tells. {why}")
        try:
            return await _blocks(replay, survey, start, end)
        finally:
            await survey.close()


async def _blocks(replay: Replay, survey: Survey, start: Position, end: Position) -> Sequence[Block]:
    timeline = replay.timeline
    stretch = Stretch.alone(timeline.cost, start.icount, end.icount, replay.on_progress)
    await survey.arrive(start)
    survey.tell_anew()
    before = survey.tally(0).hits
    found: dict[tuple[int, int], Block] = {}
    fences = (Position(snapshot.icount) for snapshot in timeline.snapshots)
    for fence in (*(place for place in fences if start < place < end), end):
        await survey.arrive(fence, stretch.at)
        hits = survey.tally(0).hits
        if hits - before > KEPT_BLOCKS:
            raise LinkError(
                f"More than {KEPT_BLOCKS:,} new blocks of code lie before {fence}; have more snapshots made (rrdbg "
                "index), or look at less of it with --from and --to."
            )
        for sighting in survey.tally(hits - before).latest:
            place = survey.place(sighting.executed)
            position = Position(place.high if survey.is_exact else max(place.low, start.icount))
            block = Block(sighting.pc, sighting.address, position, survey.is_exact)
            found.setdefault((block.start, block.size), block)
        before = hits
    return list(found.values())
