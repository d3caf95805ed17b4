"""The places of one recording where runs of a hunt begin."""

from __future__ import annotations

import asyncio

from rrdbg.engine.making.beginning import Beginning
from rrdbg.engine.replay import Replay
from rrdbg.model.timeline.position import Position


class Beginnings:
    """Takes up what is needed to begin anywhere in the recording of ``replay``, one after another."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._turn = asyncio.Lock()

    async def at(self, icount: int) -> Beginning:
        """Where the recording is at the plain ``icount``.

        :raises LinkError: QEMU fails, or cannot save its state there.
        """
        async with self._turn:
            await self._replay.seek(Position(icount))
            return Beginning.of(self._replay.recording, icount, await self._replay.state())
