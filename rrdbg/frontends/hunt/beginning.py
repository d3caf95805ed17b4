"""``--from RECORDING@POSITION``: the state there, which all runs of a hunt go on from."""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.engine.making.beginning import Beginning
from rrdbg.errors import UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.model.timeline.position import Position


async def find_beginning(text: str) -> tuple[Sequence[str], Beginning]:
    """What the recording was made with, and its state at the position, or just before if QEMU saves none right there.

    :raises UsageError: it is no such place, or no recording can begin there.
    :raises RecordingError: there is no such recording.
    """
    name, at, place = text.rpartition("@")
    if not at or not name or not place:
        raise UsageError(f"--from {text}: write RECORDING@POSITION, as in boot-1@50%.")
    async with await AsyncReplay.open(name, gdb=None, jobs=1) as api:
        replay = api.cursor
        Beginning.check(replay.recording)
        # Where an interrupt is about to come there are two states with one icount.
        icount = replay.timeline.landing_before(await api.position_of(place))
        await replay.seek(Position(icount))
        return replay.recording.manifest.command, Beginning.of(replay.recording, icount, await replay.state())
