"""What the QEMU processes of a session are for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rrdbg.model.timeline.position import Position


class Role(StrEnum):
    """Why a QEMU runs."""

    CURSOR = "cursor"
    SPARE = "spare"
    SEARCHING = "searching"
    PROVING = "proving"
    SAVING = "saving"
    WHAT_IF = "what-if"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One QEMU: ``position`` is where its guest stands, or has left the recording; ``memory`` is what the process
    holds of this machine's memory, in bytes, of what it shares with others its share only; ``seconds`` is its age.

    A blank waits to be told which snapshot to become, and has no position yet. ``pid`` and ``memory`` are 0 where they
    cannot be told.
    """

    pid: int
    role: Role
    position: Position | None
    memory: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SpareLimits:
    """How many spare processes there may be, and how many bytes of memory all together."""

    count: int
    memory: int
