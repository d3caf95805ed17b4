"""A guest's whole state at several positions of a recording, as checksums to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rrdbg.engine.machines.digest import state_digest
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.keeper import SPACING_SECONDS
from rrdbg.model.timeline.position import Position


async def states(recording: Path, percents: Sequence[int], spacing: float = SPACING_SECONDS) -> dict[int, str]:
    """Checksums of registers and RAM near the given percents of the recording, gone to in this order."""
    found = {}
    async with await Replay.open(recording, spacing) as replay:
        for percent in percents:
            icount = replay.timeline.landing_before(Position(replay.timeline.end.icount * percent // 100))
            await replay.seek(Position(icount))
            found[percent] = await state_digest(await replay.machine())
    return found


async def assert_travels(
    recording: Path, percents: Sequence[int] = (10, 50, 80, 99), spacing: float = SPACING_SECONDS
) -> dict[int, str]:
    """Go forward from the start, then back and forth in a second session; all must be as on the way forward.

    Not at the very end of a recording that was cut off: a disk's answer that its log has behind the last instruction
    may or may not have come when QEMU stops there.
    """
    forward = await states(recording, percents, spacing)
    assert len(set(forward.values())) > 1
    again = await states(recording, [*percents[::-2], *percents[-2::-2], *percents], spacing)
    different = [percent for percent in percents if again[percent] != forward[percent]]
    assert not different, f"other states at these percents: {different}"
    return forward
