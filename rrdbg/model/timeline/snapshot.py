"""A restorable state of the guest and what it costs to use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAPPED_SUFFIX = ".state"
"""How the name of a file ends that holds the devices' state alone."""


class SnapshotKind(StrEnum):
    """Why a snapshot exists; it decides what may drop it."""

    INITIAL = "initial"
    PERIODIC = "periodic"
    LADDER = "ladder"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The guest's whole state at a plain icount.

    ``tag`` is its name inside QEMU and ``name`` the user's; ``files`` are paths relative to the recording, the
    one with the machine's state first and then one for each writable disk; ``size`` is in bytes,
    ``load_seconds`` what the last load took (None: never loaded); ``sound`` tells whether a second process has
    proved it (None: not yet tried); ``digest`` is the checksum of the guest's registers and RAM there, as a replay
    that came from the start had them (None: not taken).
    """

    icount: int
    tag: str
    kind: SnapshotKind
    files: tuple[str, ...]
    size: int = 0
    load_seconds: float | None = None
    sound: bool | None = None
    name: str | None = None
    digest: str | None = None

    @property
    def mapped(self) -> bool:
        """Whether it consists of the devices' state and a table of pages; else QEMU loads it out of an image."""
        return self.files[:1] != () and self.files[0].endswith(MAPPED_SUFFIX)
