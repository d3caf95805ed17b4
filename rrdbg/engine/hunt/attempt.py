"""One try of a hunt: a recording in a folder that nobody sees, moved into the library if it is worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rrdbg.engine.hunt.beginnings import Beginnings
from rrdbg.engine.hunt.typing import Typing
from rrdbg.engine.making.beginning import Beginning
from rrdbg.engine.making.program import Program
from rrdbg.engine.making.recorder import Recorded, Recorder, RecordRequest
from rrdbg.errors import RecordingError
from rrdbg.model.hunt.course import Course
from rrdbg.model.hunt.keys import Keys
from rrdbg.model.hunt.perturbation import Perturbation
from rrdbg.store.layout import Layout
from rrdbg.store.library import Library
from rrdbg.store.logevents import events
from rrdbg.store.logformat import Kind
from rrdbg.store.recording import adopt

_OWN_ENDS = ("the guest ", "QEMU ended")
"""How the reasons begin for which a guest ends by itself."""

_INPUTS = (Kind.INPUT, Kind.CHAR_READ, Kind.NET)
"""What a guest that polls is told by no interrupt."""


class Judge(Protocol):
    """Says of a finished run why it has failed; None if it has not."""

    async def __call__(self, recorded: Recorded) -> str | None:
        """Look at the recording, which is in nobody's library yet."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What is run: the user's QEMU ``command``, until it prints one of ``until``, for ``timeout`` seconds at most.

    With a ``beginning`` all runs go on from there, and ``command`` is what that was recorded with. ``keys`` are typed
    to its serial port. ``beginnings`` has what runs begin with that have a place of their own.
    """

    command: Sequence[str]
    until: Sequence[str] = ()
    timeout: float | None = None
    max_icount: int | None = None
    beginning: Beginning | None = None
    program: Program | None = None
    keys: Sequence[Keys] = ()
    beginnings: Beginnings | None = None

    async def known(self) -> Guest:
        """The same with what there is to know of its QEMU.

        :raises QemuLaunchError: there is none.
        """
        binary = self.beginning.invocation.binary if self.beginning else self.command[0]
        return replace(self, program=await Program.of(binary))


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try went: how it ended, at which instruction, after how many seconds; ``failed`` says why it failed."""

    ended: str
    icount: int
    seconds: float
    course: Course
    failed: str | None = None


class Tries(Protocol):
    """Who makes tries, several at a time."""

    @property
    def jobs(self) -> int:
        """How many."""

    async def make(self, guest: Guest, perturbation: Perturbation, directory: Path) -> Tried:
        """Record ``guest`` as ``perturbation`` has it, and judge it; if it has failed it is there in ``directory``.

        :raises UsageError: it cannot be recorded.
        :raises QemuLaunchError: QEMU does not start.
        :raises LinkError: QEMU fails.
        """
        ...

    async def close(self) -> None:
        """End what is under way."""


@dataclass(frozen=True, slots=True)
class LocalTries:
    """Tries in this process, ``jobs`` at a time, judged by ``judge``."""

    judge: Judge
    jobs: int

    async def make(self, guest: Guest, perturbation: Perturbation, directory: Path) -> Tried:
        """One of them: :class:`Tries`."""
        recorded = await attempt(guest, perturbation, directory)
        failed = await self.judge(recorded)
        return Tried(recorded.ended, recorded.icount, recorded.seconds, course_of(recorded), failed)

    async def close(self) -> None:
        """Each try ends with whoever waits for it."""


async def attempt(guest: Guest, perturbation: Perturbation, directory: Path) -> Recorded:
    """Record ``guest`` as ``perturbation`` has it.

    :raises UsageError: it cannot be recorded.
    :raises QemuLaunchError: QEMU does not start.
    :raises LinkError: QEMU fails.
    """
    request = RecordRequest(
        guest.command, directory, perturbation.rate, until_console=guest.until, timeout=guest.timeout,
        max_icount=guest.max_icount, sleeps=not perturbation.jumps, disk_rate=perturbation.disk,
        packets_late=perturbation.packets, noted=False, program=guest.program,
    )  # fmt: skip
    beginning = guest.beginning
    if perturbation.place is not None and guest.beginnings:
        beginning = await guest.beginnings.at(perturbation.place)
    if beginning is None:
        request = replace(request, command=perturbation.words(guest.command))
    else:
        before = beginning.invocation
        request = replace(
            request,
            beginning=replace(beginning, later=perturbation.later or 0),
            shift=before.shift if perturbation.shift is None else perturbation.rate,
            sleeps=before.sleeps and not perturbation.jumps,
        )
    recorder = Recorder(request, lambda data: typing.printed(data))
    typing = Typing(guest.keys, perturbation.typing or 0, recorder.type)
    try:
        return await recorder.run()
    finally:
        typing.close()


def course_of(recorded: Recorded) -> Course:
    """How the run went."""
    own = recorded.ended.startswith(_OWN_ENDS)
    inputs = [(event.icount, int(event.kind)) for event in events(Layout(recorded.directory).log, _INPUTS)]
    return Course.of(recorded.deliveries, recorded.end if own else None, inputs)


def keep(directory: Path, library: Library, name: str) -> Path:
    """Move a recording into ``library``, as the next one called ``name``, and note that it is the user's own.

    :raises RecordingError: it cannot be moved.
    """
    while True:
        place = library.fresh(name).absolute()
        try:
            directory.rename(place)
            break
        except OSError as error:
            if not place.exists():  # else another hunt was quicker
                raise RecordingError(f"Cannot keep the recording as {place}: {error.strerror}.") from None
    adopt(place)
    return place
