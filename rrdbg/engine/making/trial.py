"""Try a guest before it is recorded in earnest: record a moment of it, replay that, and jump into its middle.

What no table tells shows there: a device that does not come back from a snapshot, a log that QEMU cannot follow, a
gdbstub that does not tell what the CPU's registers are. The trial's guest sees nothing of the host and writes to no
file of the user's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.making.recorder import Recorded, Recorder, RecordRequest
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.prover import FAILURES
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import Divergence, Stalled, UsageError
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from rrdbg.store.workfolder import WorkFolder

_PLACES = 8
"""Places, one after the other, where a snapshot is tried that QEMU cannot save at once."""

_MOMENT_SECONDS = 0.25
"""How long a guest is recorded to see whether it can be; all of it together takes less than a second."""

_PATIENCE_SECONDS = 5.0
_LOAD_SECONDS = 20.0
"""A snapshot is loaded in less than a second, however busy the host is in some more."""


class Stage(StrEnum):
    """What is being done."""

    REPLAY = "replay"
    AGAIN = "again"
    JUMP = "jump"


@dataclass(frozen=True, slots=True)
class Tried:
    """How a trial went: how far the guest was followed, and at which stage it ``failed``, if it did, and ``why``.

    ``saved`` is where a snapshot was loaded; None if none could be saved. ``semihosting`` tells that the guest has it.
    """

    recorded: Recorded
    end: int = 0
    saved: int | None = None
    failed: Stage | None = None
    why: str = ""
    semihosting: bool = False


async def check(request: RecordRequest) -> None:
    """Try for about a second whether what ``request`` asks for can be replayed.

    :raises UsageError: it cannot; the message says what happens when one tries.
    :raises RrdbgError: it cannot be recorded at all.
    :raises Interrupted: it was given up.
    """
    with interrupted_at(lambda: START, "it was tried whether this guest can be replayed"):
        tried = await try_out(request, _MOMENT_SECONDS, patience=_PATIENCE_SECONDS)
    if tried.failed is None:
        return
    advice = _ADVICE_SEMIHOSTING if tried.semihosting else _ADVICE
    done = f"recorded for a moment ({tried.recorded.icount:,} instructions), and {_MEANT[tried.failed]}"
    raise UsageError(
        f"This cannot be recorded: it was {done}: {tried.why.partition('. ')[0].rstrip('.')}. {advice}; or record it "
        "all the same with --no-check."
    )


_ADVICE = "Leave devices out, one after another, until 'rrdbg doctor -- ...' is content"
_ADVICE_SEMIHOSTING = (
    "Its semihosting calls may be why: the time, a key or a file is asked of the host anew by each replay. Leave those "
    "calls out"
)
_MEANT = {
    Stage.REPLAY: "does not replay",
    Stage.AGAIN: "two replays of it are not the same",
    Stage.JUMP: "goes another way from a snapshot in its middle",
}


async def try_out(
    request: RecordRequest,
    seconds: float,
    *,
    thorough: bool = False,
    patience: float | None = None,
    say: Callable[[str], None] = lambda doing: None,
) -> Tried:
    """Record ``seconds`` of a guest, replay and jump, all in a temporary folder; ``say`` is told what is being done.

    A ``thorough`` trial replays twice, and compares RAM, too. A replay may stand still for ``patience`` seconds.

    :raises RrdbgError: it cannot be recorded.
    """
    with WorkFolder() as folder:
        say("recording")
        passing = replace(
            request, directory=folder / "trial", timeout=seconds, until_console=None, in_place=False, passing=True
        )
        recorded = await Recorder(passing).run()
        with Recording.open(recorded.directory, trusted=True) as recording:
            launcher = await Launcher.create(recording)
            try:
                return await _Trial(recording, recorded, launcher, say, patience, thorough=thorough).run()
            finally:
                await launcher.close()


class _Trial:
    def __init__(
        self,
        recording: Recording,
        recorded: Recorded,
        launcher: Launcher,
        say: Callable[[str], None],
        patience: float | None,
        *,
        thorough: bool,
    ) -> None:
        timeline = load_timeline(recording)
        self._recorded = recorded
        self._launcher = launcher
        self._keeper = Keeper(launcher, Shelf(launcher, timeline))
        self._say = say
        self._patience = patience
        self._thorough = thorough
        self._end = timeline.landing_before(timeline.end)

    async def run(self) -> Tried:
        """Replay to the end, saving a snapshot on the way, and compare with other ways there."""
        semihosting = self._launcher.recording.manifest.invocation.shares_console
        tried = Tried(self._recorded, self._end, semihosting=semihosting)
        initial = self._keeper.timeline.snapshots[0]
        saved: Snapshot | None = None
        place: int | None = None
        stage = Stage.REPLAY
        try:
            saved, expected = await self._replay(initial)
            place = saved.icount if saved else None
            if self._thorough:
                stage = Stage.AGAIN
                self._say("replaying again")
                await self._compare(initial, expected)
            if saved:
                stage = Stage.JUMP
                self._say("jumping")
                await self._compare(saved, expected)
        except FAILURES as error:
            return replace(tried, saved=place, failed=stage, why=str(error))
        return replace(tried, saved=place)

    async def _replay(self, initial: Snapshot) -> tuple[Snapshot | None, str]:
        """A snapshot somewhere in the middle, if one can be saved, and the state at the end."""
        self._say("replaying")
        walker = await self._start(initial)
        try:
            saved = None
            for number in range(_PLACES):
                middle = self._end // 2 + number * self._end // (4 * _PLACES)
                place = walker.timeline.landing_before(Position(middle))
                if not walker.position.icount < place < self._end:
                    continue
                await walker.run_to(place)
                if saved := await self._save(walker):
                    break
            await walker.run_to(self._end)
            return saved, await self._state(walker)
        finally:
            await walker.machine.close()

    async def _compare(self, snapshot: Snapshot, expected: str) -> None:
        walker = await self._start(snapshot)
        try:
            await walker.run_to(self._end)
            if await self._state(walker) != expected:
                memory = " or RAM" if self._thorough else ""
                raise Divergence(f"registers{memory} differ at {self._end:,}")
        finally:
            await walker.machine.close()

    async def _start(self, snapshot: Snapshot) -> Walker:
        try:
            async with asyncio.timeout(_LOAD_SECONDS):
                walker, _ = await self._launcher.start(snapshot, self._keeper.timeline)
        except TimeoutError:
            raise Stalled("QEMU hangs while it loads the snapshot") from None
        if self._patience is not None:
            walker.machine.patience = self._patience
        return walker

    async def _state(self, walker: Walker) -> str:
        if self._thorough:
            return await self._launcher.digest(walker)
        return (await walker.machine.register_packet()).decode()

    async def _save(self, walker: Walker) -> Snapshot | None:
        if not self._launcher.writable:
            return None
        try:
            return await self._keeper.save(walker, SnapshotKind.PERIODIC)
        except SnapshotNotNow:
            return None
