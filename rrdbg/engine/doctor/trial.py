"""Try a guest: record some seconds of it, replay that twice, and jump into its middle.

What no table tells shows there: a device that does not come back from a snapshot, a log that QEMU cannot follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.prover import FAILURES, failure
from rrdbg.errors import Interrupted, LinkError, QmpError, RrdbgError
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.model.machine.findings import Finding, good, note, wrong
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from rrdbg.store.workfolder import WorkFolder

SECONDS = 3.0
"""How long the guest is recorded, unless it ends before."""

_TRIES = 8
"""Places, one after the other, where a snapshot is tried that QEMU cannot save at once."""


async def try_guest(command: Sequence[str], shift: str, say: Callable[[str], None]) -> list[Finding]:
    """Record ``command``, replay and jump, all in a temporary folder; ``say`` is told what is being done."""
    with WorkFolder() as folder:
        say("recording")
        request = RecordRequest(command, folder / "trial", shift, timeout=SECONDS, passing=True)
        try:
            recorded = await Recorder(request).run()
        except Interrupted:
            raise
        except RrdbgError as error:
            return [
                wrong("trial", f"It cannot be recorded: {error}", "See what QEMU says, and change the command line.")
            ]
        found = [
            good(
                "trial",
                f"{recorded.icount:,} instructions were recorded in {recorded.seconds:.1f} s; {recorded.ended}.",
            )
        ]
        if not recorded.end:
            return [*found, wrong("trial", "The guest executed nothing.", "Look at what it boots from.")]
        with Recording.open(recorded.directory, trusted=True) as recording:
            launcher = await Launcher.create(recording)
            try:
                return [*found, *await _Trial(recording, launcher, say).run()]
            finally:
                await launcher.close()


class _Trial:
    def __init__(self, recording: Recording, launcher: Launcher, say: Callable[[str], None]) -> None:
        timeline = load_timeline(recording)
        self._launcher = launcher
        self._keeper = Keeper(launcher, timeline)
        self._say = say
        self._end = timeline.landing_before(timeline.end)

    async def run(self) -> list[Finding]:
        """Replay to the end, saving a snapshot on the way, and compare with two other ways there."""
        try:
            saved, digest = await self._replay()
        except FAILURES as error:
            return [wrong("replay", f"It does not replay: {error}", "Leave devices out, one after another.")]
        except (QmpError, LinkError) as error:
            return [wrong("replay", str(error), "See 'rrdbg doctor' about this machine.")]
        self._say("replaying again")
        initial = self._keeper.timeline.snapshots[0]
        why = await failure(self._launcher, self._keeper.timeline, initial, self._end, digest)
        if why:
            return [wrong("replay", f"A second replay is another one: {why}.", "Leave devices out, one after another.")]
        found = [good("replay", f"Two replays came to the same state at {self._end:,}.")]
        if saved is None:
            return [*found, note("jump", "QEMU can save no snapshot of this guest here; jumps start at the beginning.")]
        self._say("jumping")
        why = await failure(self._launcher, self._keeper.timeline, saved, self._end, digest)
        if why:
            what = f"From a snapshot at {saved.icount:,} the guest goes another way: {why}."
            return [*found, wrong("jump", what, "Leave devices out, one after another.")]
        return [*found, good("jump", f"From a snapshot at {saved.icount:,} the guest came to that state, too.")]

    async def _replay(self) -> tuple[Snapshot | None, str]:
        """A snapshot somewhere in the middle, if one can be saved, and the checksum of the state at the end."""
        self._say("replaying")
        timeline = self._keeper.timeline
        walker, _ = await self._launcher.start(timeline.snapshots[0], timeline)
        try:
            saved = None
            for number in range(_TRIES):
                middle = self._end // 2 + number * self._end // (4 * _TRIES)
                place = timeline.landing_before(Position(middle))
                if not walker.position.icount < place < self._end:
                    continue
                await walker.run_to(place)
                if saved := await self._save(walker):
                    break
            await walker.run_to(self._end)
            return saved, await self._launcher.digest(walker)
        finally:
            await walker.machine.close()

    async def _save(self, walker: Walker) -> Snapshot | None:
        if not self._launcher.writable:
            return None
        try:
            return await self._keeper.save(walker, SnapshotKind.PERIODIC)
        except SnapshotNotNow:
            return None
