"""One recording of a hunt: made in a folder that nobody sees, and moved into the library if it is worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rrdbg.engine.making.beginning import Beginning
from rrdbg.engine.making.program import Program
from rrdbg.engine.making.recorder import Recorded, Recorder, RecordRequest
from rrdbg.errors import RecordingError
from rrdbg.model.hunt.course import Course
from rrdbg.model.hunt.perturbation import Perturbation
from rrdbg.store.library import Library
from rrdbg.store.recording import adopt

_OWN_ENDS = ("the guest ", "QEMU ended")
"""How the reasons begin for which a guest ends by itself."""


class Judge(Protocol):
    """Says of a finished run why it has failed; None if it has not."""

    async def __call__(self, recorded: Recorded) -> str | None:
        """Look at the recording, which is in nobody's library yet."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What is run: the user's QEMU ``command``, until it prints one of ``until``, for ``timeout`` seconds at most.

    With a ``beginning`` all runs go on from there, and ``command`` is what that was recorded with.
    """

    command: Sequence[str]
    until: Sequence[str] = ()
    timeout: float | None = None
    max_icount: int | None = None
    beginning: Beginning | None = None
    program: Program | None = None

    async def known(self) -> Guest:
        """The same with what there is to know of its QEMU.

        :raises QemuLaunchError: there is none.
        """
        binary = self.beginning.invocation.binary if self.beginning else self.command[0]
        return replace(self, program=await Program.of(binary))


async def attempt(guest: Guest, perturbation: Perturbation, directory: Path) -> Recorded:
    """Record ``guest`` as ``perturbation`` has it.

    :raises UsageError: it cannot be recorded.
    :raises QemuLaunchError: QEMU does not start.
    :raises LinkError: QEMU fails.
    """
    request = RecordRequest(
        guest.command, directory, perturbation.rate, until_console=guest.until, timeout=guest.timeout,
        max_icount=guest.max_icount, sleeps=not perturbation.jumps, disk_rate=perturbation.disk, noted=False,
        program=guest.program,
    )  # fmt: skip
    if guest.beginning is None:
        request = replace(request, command=perturbation.words(guest.command))
    else:
        before = guest.beginning.invocation
        request = replace(
            request,
            beginning=replace(guest.beginning, later=perturbation.later or 0),
            shift=before.shift if perturbation.shift is None else perturbation.rate,
            sleeps=before.sleeps and not perturbation.jumps,
        )
    return await Recorder(request).run()


def course_of(recorded: Recorded) -> Course:
    """How the run went."""
    own = recorded.ended.startswith(_OWN_ENDS)
    return Course.of(recorded.deliveries, recorded.end if own else None)


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
