"""Travel in a QEMU that the user started: one process, moved by ``loadvm`` inside it.

What that costs: nothing can be proved by a second process, nothing is saved in the user's images unless he wants it,
and a replay that derails inside QEMU may be lost until QEMU is started anew. So whatever may break a machine is never
tried here.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable
from importlib.metadata import version as package_version
from pathlib import Path

from rrdbg.engine.machines.digest import state_digest
from rrdbg.engine.machines.source import Running, Waiting, given
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import LinkError, QemuLaunchError, QmpError, UsageError
from rrdbg.links.attached import AttachedQemu
from rrdbg.links.inspection import Inspection, InternalSnapshot, inspect, internal_snapshots
from rrdbg.links.machine import Machine
from rrdbg.model.timeline.fence import last_reachable
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.process import Role
from rrdbg.model.travel.spacing import default_budget
from rrdbg.store.foreign import foreign_invocation, foreign_layout, utc
from rrdbg.store.manifest import Manifest
from rrdbg.store.recording import Recording
from rrdbg.store.replaylog import LogSummary, summarise

_START_IT = "-icount shift=N,rr=replay,rrfile=LOG,rrsnapshot=TAG"
_ENDED_STATES = ("shutdown", "internal-error")
"""Run states out of which only a reset leads, which is none of the log's."""


class AttachedMachines:
    """Hands out the one machine there is, at one snapshot after another.

    ``writable`` tells that snapshots may be saved in QEMU's disk images, up to ``budget`` bytes.
    """

    single = True
    """A start ends the machine before."""

    confinement = ("nothing is taken from a QEMU that somebody else has started",)

    def __init__(self, recording: Recording, qemu: AttachedQemu, *, writable: bool, budget: int) -> None:
        self.recording = recording
        self.writable = writable
        self._qemu = qemu
        self._left = budget
        self._since = time.monotonic()
        self._walker: Walker | None = None

    @property
    def lost(self) -> bool:
        """True if QEMU has ended, or hangs."""
        return not self._qemu.alive

    @property
    def running(self) -> tuple[Running, ...]:
        """QEMU, once it was moved; its age is that of the session."""
        return (Running(self._walker, Role.SEARCHING, self._since),) if self._walker else ()

    async def stand(self, timeline: Timeline) -> tuple[Walker | None, int]:
        """The machine where QEMU stands, as a walker if that is a plain place of ``timeline``, and the icount there.

        :raises LinkError: QEMU has ended, or another client has its gdbstub.
        """
        machine = await self._qemu.take()
        here = await machine.icount()
        if here <= timeline.end.icount and timeline.deliveries.is_plain(here):
            self._walker = Walker(machine, timeline, Position(here))
        return self._walker, here

    async def start(
        self, snapshot: Snapshot, timeline: Timeline, role: Role = Role.SEARCHING, *, saving: bool = False
    ) -> tuple[Walker, float]:
        """Load ``snapshot`` inside QEMU, from where others can be saved; also tells how many seconds that took.

        :raises QemuLaunchError: QEMU could not load it; the message is QEMU's.
        :raises QemuDied: QEMU has ended.
        """
        began = time.monotonic()
        machine = await self._qemu.load(snapshot.tag)
        icount = await machine.icount()
        if icount != snapshot.icount:
            await machine.close()
            raise QemuLaunchError(f"The snapshot {snapshot.tag!r} led to {icount:,} instead of {snapshot.icount:,}.")
        self._walker = Walker(machine, timeline, Position(icount))
        return self._walker, time.monotonic() - began

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """There is one QEMU, which never waits to become something else."""
        return ()

    async def branch(self, walker: Walker) -> Machine:
        """There is none.

        :raises UsageError: always.
        """
        raise UsageError("A what-if needs a second QEMU, and the attached one is alone; use 'rrdbg record'.")

    async def state(self, walker: Walker) -> bytes:
        """It is not to be had.

        :raises UsageError: always.
        """
        raise UsageError("A hunt begins in a recording, and this QEMU has none of rrdbg's; use 'rrdbg record'.")

    ram = 0
    """The user has said what snapshots may take."""

    def check_writable(self) -> None:
        """Say so if snapshots cannot be kept.

        :raises UsageError: the user has not allowed it.
        """
        if not self.writable:
            raise UsageError(
                "rrdbg saves no snapshot in the images of an attached QEMU, which are yours; "
                "attach with --save-snapshots to allow it."
            )

    def saves(self, walker: Walker) -> bool:
        """QEMU saves wherever it stands."""
        return True

    def mapped_bytes(self, walker: Walker) -> None:
        """None is."""

    async def digest(self, walker: Walker) -> str:
        """A checksum of the state where ``walker`` stands.

        :raises QmpError: the memory cannot be read here.
        """
        return await state_digest(walker.machine)

    def room(self, timeline: Timeline) -> int:
        """Bytes that the snapshots of ``timeline`` take together."""
        return sum(snapshot.size for snapshot in timeline.snapshots)

    async def settle(self, timeline: Timeline) -> None:
        """There is no next start."""

    def forgotten(self, timeline: Timeline) -> None:
        """Snapshots have no files of ours."""

    async def save(self, walker: Walker, kind: SnapshotKind, *, digest: bool = False) -> Awaitable[Snapshot]:
        """Save a snapshot in QEMU's images, for this session only; it is there at once.

        :raises SnapshotNotNow: a little later it will work.
        :raises QmpError: it failed, or the budget is used up.
        """
        if self._left <= 0:
            raise QmpError("the snapshots in QEMU's images take what --snapshot-budget allows.")
        icount = walker.position.icount
        tag = f"rrdbg-{icount}"
        qmp = walker.machine.qmp
        await qmp.save_inside(tag)
        self._qemu.saved.append(tag)
        size = next(item.size for item in await internal_snapshots(qmp) if item.tag == tag)
        self._left -= size
        found = await self.digest(walker) if digest else None
        return given(Snapshot(icount, tag, kind, (), size=size, digest=found))

    def in_use(self, snapshot: Snapshot) -> bool:
        """No snapshot has files of ours."""
        return False

    async def close(self) -> None:
        """QEMU is the user's, and stays."""


async def attach(
    qemu: AttachedQemu,
    log: Path | None = None,
    console: Path | None = None,
    *,
    save_snapshots: bool = False,
    spacing: float | None = None,
    budget: int | None = None,
) -> Replay:
    """A replay in ``qemu``, with the cursor where that stands; it must be released when the replay is closed.

    ``log`` is the replay log, where QEMU's word for it means nothing here; ``console`` what the guest printed.
    ``save_snapshots`` allows to save snapshots in QEMU's images, every ``spacing`` seconds of replay and of at most
    ``budget`` bytes in all (None: a tenth of the free space).

    :raises LinkError: QEMU does not replay, or cannot be moved.
    :raises LogError: the log cannot be read.
    :raises UsageError: there is no such file as ``console``.
    """
    seen = await inspect(qemu.qmp, qemu.pid)
    _check(seen, qemu)
    initial, *others = _usable(seen, qemu)
    if seen.missing:
        flags = " ".join(seen.missing)
        qemu.caution = f", and record and replay again with {flags}: without that a load inside QEMU is not reliable"
    qemu.deletes_safely = int(seen.version.partition(".")[0]) < 10
    log = log or _log_of(seen)
    summary = await asyncio.to_thread(summarise, log)
    end = _end(seen, summary)
    recording = await asyncio.to_thread(_recording, seen, log, console, summary, initial, end)
    plain = summary.deliveries.is_plain
    snapshots = [
        Snapshot(0, initial.tag, SnapshotKind.INITIAL, (), size=initial.size, sound=True),
        *(
            Snapshot(other.icount, other.tag, SnapshotKind.NAMED, (), size=other.size, name=other.tag)
            for other in others
            if 0 < other.icount <= end and plain(other.icount)
        ),
    ]
    timeline = Timeline(Position(end), summary.deliveries)
    for snapshot in snapshots:
        timeline = timeline.with_snapshot(snapshot)
    budget = default_budget(shutil.disk_usage(log.parent).free, 0) if budget is None else budget
    machines = AttachedMachines(recording, qemu, writable=save_snapshots, budget=budget)
    walker, here = await machines.stand(timeline)
    replay = Replay(recording, machines, Keeper(machines, Shelf(machines, timeline), spacing), walker)
    replay.place(Position(summary.deliveries.plain_at_or_before(min(here, end))))
    return replay


def _check(seen: Inspection, qemu: AttachedQemu) -> None:
    if seen.mode == "none":
        raise LinkError(f"{qemu.name} neither records nor replays; start it with {_START_IT}.")
    if seen.mode == "record":
        raise LinkError(
            f"{qemu.name} is recording. Attach to a replay: end it with 'quit' in its monitor, and start it again with "
            "rr=replay instead of rr=record."
        )
    if seen.state in _ENDED_STATES:
        raise LinkError(
            f"{qemu.name} stands past the end of its log, in the state '{seen.state}', out of which nothing leads. "
            "Start it again, stopped (-S)."
        )
    if seen.command and "rrsnapshot" not in seen.properties("icount", "shift"):
        # Without it QEMU would, when a debugger connects, save a snapshot in the user's image.
        raise LinkError(
            f"{qemu.name} was started without a snapshot to return to. Record with rrsnapshot=TAG, and replay with "
            f"{_START_IT}."
        )


def _usable(seen: Inspection, qemu: AttachedQemu) -> list[InternalSnapshot]:
    """The snapshot at the start of this recording, and then those made later; older ones belong to another."""
    wanted = seen.properties("icount", "shift").get("rrsnapshot")
    starts = [snapshot for snapshot in seen.snapshots if snapshot.icount == START.icount]
    if not starts:
        found = ", ".join(snapshot.tag for snapshot in seen.snapshots)
        raise LinkError(
            f"{qemu.name} has no snapshot of the start in its disk images (found: {found or 'none at all'}). Record "
            "and replay with rrsnapshot=TAG, and an image that can hold it: -drive if=none,id=state,file=STATE.qcow2."
        )
    initial = max(starts, key=lambda snapshot: (snapshot.tag == wanted, snapshot.made))
    return [initial, *(snapshot for snapshot in seen.snapshots if snapshot.made > initial.made)]


def _log_of(seen: Inspection) -> Path:
    """QEMU's log, which it names relative to its own directory."""
    log = Path(seen.log)
    if not log.is_absolute():
        if seen.directory is None:
            raise LinkError(f"QEMU calls its log {log}, and it cannot be told where that is; say it with --log FILE.")
        log = seen.directory / log
    return log


def _end(seen: Inspection, summary: LogSummary) -> int:
    names = {option.name for option in seen.options}
    # Of a command line that we do not see we assume the worst: that a reset ends QEMU.
    reboots = bool(seen.command) and "no-reboot" not in names and "reboot=shutdown" not in " ".join(seen.command)
    shutdowns = [(event.icount, event.is_reset) for event in summary.shutdowns]
    return last_reachable(summary.total, shutdowns, reboots=reboots, exited=not shutdowns)


def _recording(
    seen: Inspection, log: Path, console: Path | None, summary: LogSummary, initial: InternalSnapshot, end: int
) -> Recording:
    """The recording as rrdbg would describe it, had it made it."""
    binary = seen.command[0] if seen.command else f"qemu-system-{seen.target}"
    manifest = Manifest(
        created=utc(initial.made),
        rrdbg_version=package_version("rrdbg"),
        qemu_path=binary,
        qemu_version=seen.version,
        command=seen.command,
        invocation=foreign_invocation(binary, seen.options, log),
        initial_tag=initial.tag,
        icount=summary.total,
        end=end,
        ended=f"its log tells of {summary.shutdown.cause}" if summary.shutdown else "its log ends",
        seconds=0.0,
        checksums={},
    )
    return Recording(foreign_layout(log, console, seen.options, seen.directory), manifest, summary, None)
