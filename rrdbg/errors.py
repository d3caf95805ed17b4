"""Every error rrdbg raises on purpose, as one tree.

    RrdbgError                 exit 1   something went wrong; str() is the one sentence a user reads
    ├── UsageError             exit 2   the request itself is wrong (unknown command, bad position, bad option)
    ├── RecordingError         exit 1   what lies on disk cannot be used
    │   └── LogError           exit 1   the replay log is truncated, corrupt or foreign (carries the offset)
    ├── TravelError            exit 1   the timeline does not go there
    │   ├── OutOfRange         exit 1   a position before the start or after the end
    │   ├── Undecided          exit 3   a bisect has no single answer
    │   └── Interrupted        exit 130 the user stopped a long operation
    ├── HostError              exit 1   the operating system refused something: a full disk, too many open files
    └── LinkError              exit 1   another program let us down
        ├── QemuLaunchError    exit 1   QEMU did not start
        ├── PluginError        exit 1   QEMU's plugin cannot be built, or not be loaded
        ├── QemuDied           exit 1   QEMU went away while we used it
        ├── QmpError           exit 1   QEMU refused a QMP or monitor command
        ├── ImageError         exit 1   qemu-img refused something
        ├── RspError           exit 1   the gdbstub answered nonsense or an error
        ├── Stalled            exit 1   no answer within the watchdog's time
        ├── GdbError           exit 1   GDB refused a command, or went away
        └── Divergence         exit 4   the replay no longer follows its log

A message says what happened, where (a position or an offset), and what to do next.
"""

from __future__ import annotations

import errno


class RrdbgError(Exception):
    """Base of every error with a sentence meant for the user."""

    exit_code = 1


class UsageError(RrdbgError):
    """The request cannot be understood or makes no sense; nothing was done."""

    exit_code = 2


class RecordingError(RrdbgError):
    """A recording, or a file in it, is missing, damaged, foreign or too new."""


class LogError(RecordingError):
    """The replay log cannot be read at ``offset`` (bytes from the start of the file)."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class TravelError(RrdbgError):
    """The timeline does not go where it was asked to go."""


class OutOfRange(TravelError):
    """A position before the start or after the end of the recording."""


class Undecided(TravelError):
    """A bisect has no single answer: the predicate never turns true, or not only once, or cannot be judged."""

    exit_code = 3


class Interrupted(TravelError):
    """The user stopped a long operation; the message says where the cursor is now."""

    exit_code = 130


class LinkError(RrdbgError):
    """A program that rrdbg talks to failed."""


class QemuLaunchError(LinkError):
    """QEMU did not come up; the message holds what it printed."""


class PluginError(LinkError):
    """The plugin for QEMU cannot be built, or this QEMU does not load it; rrdbg works without it, too."""


class QemuDied(LinkError):
    """QEMU ended, or closed a connection, while we still needed it."""


class QmpError(LinkError):
    """QEMU refused a QMP or human-monitor command."""


class ImageError(LinkError):
    """qemu-img refused something; the message is its own."""


class RspError(LinkError):
    """The gdbstub sent an error or something that is not the remote protocol."""


class Stalled(LinkError):
    """A wait ran into its watchdog."""


class GdbError(LinkError):
    """GDB refused a command, or ended; the message is GDB's."""


class WorkerFailed(LinkError):
    """A worker of a cluster failed in another way than rrdbg knows, or died each time."""


class Divergence(LinkError):
    """The guest runs but its replay no longer follows the log."""

    exit_code = 4


class Overshot(LinkError):
    """QEMU took an interrupt right behind a ``pause`` before it could be stopped; another one may not."""


class HostError(RrdbgError):
    """The operating system refused something: the disk is full, or there are too many open files."""

    @classmethod
    def of(cls, error: OSError, doing: str) -> HostError:
        """What to tell of ``error``, met while ``doing``, as in "Cannot start QEMU"."""
        where = f" ({error.filename})" if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "See what is wrong there, and try again.")
        return cls(f"{doing}: {error.strerror or error}{where}. {remedy}")


_REMEDIES = {
    errno.ENOSPC: "Free some space and try again; nothing that was kept is lost.",
    errno.EDQUOT: "Free some space and try again; nothing that was kept is lost.",
    errno.EFBIG: "Raise the limit of a file's size (ulimit -f) and try again.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n) and start again.",
    errno.ENFILE: "This machine has too many open files; close some programs and try again.",
    errno.EAGAIN: "This machine has too many processes; close some programs and try again.",
    errno.ENOMEM: "This machine has too little memory; close some programs and try again.",
}
