"""``--from RECORDING@POSITION``: the state there, which all runs of a hunt go on from, and places behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from rrdbg.engine.hunt.beginnings import Beginnings
from rrdbg.engine.hunt.lookout import look
from rrdbg.engine.making.beginning import Beginning
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.model.hunt.places import Places
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Middle:
    """A place in an open recording: the ``command`` that it was made with, and the ``beginning`` at ``icount``."""

    command: Sequence[str]
    beginning: Beginning
    icount: int
    replay: Replay

    @property
    def beginnings(self) -> Beginnings:
        """What it takes to begin anywhere else in the recording."""
        return Beginnings(self.replay)

    async def places(self) -> Places:
        """Where behind it the guest shares memory with what interrupts it.

        :raises PluginError: QEMU takes no plugin here; why.
        """
        return Places(await look(self.replay, self.icount))


async def find_middle(text: str, stack: AsyncExitStack) -> Middle:
    """The position that ``text`` names, or just before if QEMU saves no state right there.

    The recording is open until ``stack`` ends.

    :raises UsageError: it is no such place, or no recording can begin there.
    :raises RecordingError: there is no such recording.
    """
    name, at, place = text.rpartition("@")
    if not at or not name or not place:
        raise UsageError(f"--from {text}: write RECORDING@POSITION, as in boot-1@50%.")
    api = await stack.enter_async_context(await AsyncReplay.open(name, gdb=None, jobs=1))
    replay = api.cursor
    Beginning.check(replay.recording)
    # Where an interrupt is about to come there are two states with one icount.
    icount = replay.timeline.landing_before(await api.position_of(place))
    await replay.seek(Position(icount))
    beginning = Beginning.of(replay.recording, icount, await replay.state())
    return Middle(replay.recording.manifest.command, beginning, icount, replay)
