"""Where the machines of a recording come from: what travelling asks of a launcher."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rrdbg.engine.machines.walk import Walker
from rrdbg.links.machine import Machine
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.process import Role
from rrdbg.store.recording import Recording


@dataclass(frozen=True, slots=True)
class Running:
    """A machine that runs: what it was started for, and when, by the monotonic clock.

    The walker of one that has left the recording stands where it did so.
    """

    walker: Walker
    role: Role
    since: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A machine that waits to become any snapshot: its process, and since when, by the monotonic clock."""

    pid: int
    since: float


def given(snapshot: Snapshot) -> Awaitable[Snapshot]:
    """A snapshot that is there already, for who awaits one."""
    found = asyncio.get_running_loop().create_future()
    found.set_result(snapshot)
    return found


class Machines(Protocol):
    """Starts machines on the snapshots of one recording, and saves new snapshots from them."""

    @property
    def recording(self) -> Recording:
        """What the machines replay."""

    @property
    def single(self) -> bool:
        """True if there is one QEMU: a start ends the machine before, and one that is lost is lost for good.

        A machine that was ended so is no longer :attr:`~rrdbg.links.machine.Machine.usable`.
        """

    @property
    def ram(self) -> int:
        """The most bytes that a snapshot may have to hold of RAM; 0 if that is not known."""

    @property
    def confinement(self) -> Sequence[str]:
        """What its QEMUs give up, and what not, each as a sentence without its stop."""

    @property
    def running(self) -> Sequence[Running]:
        """The machines that run now, the oldest first."""

    @property
    def waiting(self) -> Sequence[Waiting]:
        """Those that wait, the oldest first."""

    async def start(
        self, snapshot: Snapshot, timeline: Timeline, role: Role = Role.SEARCHING, *, saving: bool = False
    ) -> tuple[Walker, float]:
        """Start a machine on ``snapshot`` for what ``role`` says; also tells how many seconds that took.

        If it is for ``saving`` snapshots can be saved from it; from another one perhaps not.

        :raises QemuLaunchError: QEMU could not load it; the message is QEMU's.
        """

    async def branch(self, walker: Walker) -> Machine:
        """A machine in the state of ``walker``'s that follows no log; the caller closes it.

        :raises SnapshotNotNow: the state cannot be saved here.
        :raises UsageError: there can be no second machine.
        """

    async def state(self, walker: Walker) -> bytes:
        """All of the state of ``walker``'s machine, RAM included, as QEMU takes it from another one.

        :raises SnapshotNotNow: it cannot be saved here.
        :raises UsageError: it cannot be saved at all.
        """

    @property
    def lost(self) -> bool:
        """True if there will be no machine any more."""

    @property
    def writable(self) -> bool:
        """True if snapshots can be kept."""

    def check_writable(self) -> None:
        """Say so if snapshots cannot be kept.

        :raises UsageError: the reason.
        """

    def saves(self, walker: Walker) -> bool:
        """Whether a snapshot could be saved where ``walker`` stands, as far as its machine goes."""

    def mapped_bytes(self, walker: Walker) -> int | None:
        """The bytes of RAM that are in use in ``walker``'s machine, if a snapshot of it would be mapped; else None."""

    async def digest(self, walker: Walker) -> str:
        """A checksum of the state where ``walker`` stands, to be compared with others of this recording.

        :raises QmpError: the memory cannot be read here.
        """

    def room(self, timeline: Timeline) -> int:
        """Bytes that the snapshots of ``timeline`` take together."""

    async def settle(self, timeline: Timeline) -> None:
        """Nothing moves: do what makes the next start quicker."""

    def forgotten(self, timeline: Timeline) -> None:
        """Snapshots were dropped, and ``timeline`` has those that are left: give their room back."""

    async def save(self, walker: Walker, kind: SnapshotKind, *, digest: bool = False) -> Awaitable[Snapshot]:
        """Save a snapshot where ``walker`` stands, which must be a plain position, with its ``digest`` if wanted.

        The guest may go on; the snapshot is there when what this gives was awaited, and so it must be before the next
        one.

        :raises SnapshotNotNow: a little later it will work.
        :raises QmpError: it failed, for example since the disk is full.
        """

    def in_use(self, snapshot: Snapshot) -> bool:
        """True while a machine runs that was started on ``snapshot`` and still needs its files."""

    async def close(self) -> None:
        """Let go of what belongs to no machine; the machines must have ended."""
