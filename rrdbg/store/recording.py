"""A recording on disk: one directory that can be moved as a whole.

manifest.json     what was recorded, with which QEMU, how it ended
replay.bin        QEMU's log of all that was not determined by the guest itself
console.log       what the guest wrote to its first serial port
deliveries.bin    a digest of the log: length, interrupts and exceptions
timeline.json     snapshots and bookmarks known so far; may grow at any time
hits.json         what scans have found; may be deleted at any time
snapshots/        the state and the table of pages of each, never written again once they are complete
ram/              the pages, and an image that running machines map; from there, too, nothing is needed to replay
disks/            an overlay for each of the guest's disks, as it was at the end of the recording
files/            copies of the kernel, the initrd and so on
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import LogError, RecordingError, UsageError
from rrdbg.model.machine.drives import Disk
from rrdbg.store.files import checksum, write_atomically
from rrdbg.store.manifest import Manifest
from rrdbg.store.replaylog import LogSummary, summarise
from rrdbg.store.trust import check_foreign, is_own

_LOCK_SECONDS = 0.5
"""How long to try: a child that rrdbg was forking when it was killed holds the lock until it becomes a QEMU."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths inside a recording's directory."""

    root: Path

    @property
    def name(self) -> str:
        """What the recording is called: the directory's name."""
        return self.root.name

    @property
    def manifest(self) -> Path:
        """What was recorded."""
        return self.root / "manifest.json"

    @property
    def log(self) -> Path:
        """QEMU's replay log."""
        return self.root / "replay.bin"

    @property
    def console(self) -> Path:
        """The guest's console output."""
        return self.root / "console.log"

    @property
    def deliveries(self) -> Path:
        """The digest of the log."""
        return self.root / "deliveries.bin"

    @property
    def timeline(self) -> Path:
        """Snapshots and bookmarks."""
        return self.root / "timeline.json"

    @property
    def hits(self) -> Path:
        """What scans have found."""
        return self.root / "hits.json"

    @property
    def snapshots(self) -> Path:
        """Where snapshot files lie."""
        return self.root / "snapshots"

    @property
    def ram(self) -> Path:
        """The pages that snapshots consist of, and the image that machines map."""
        return self.root / "ram"

    @property
    def scratch(self) -> Path:
        """Files of running machines; what a crash left there is worthless."""
        return self.root / "scratch"

    @property
    def initial(self) -> Path:
        """The image with the snapshot at icount 0."""
        return self.snapshots / "initial.qcow2"

    def disk(self, index: int) -> Path:
        """The overlay over the guest's disk number ``index``."""
        return self.root / "disks" / f"{index}.qcow2"

    def bundled(self, name: str) -> Path:
        """The copy of a file that QEMU's command line names, called as :attr:`BundledFile.name` tells."""
        return self.root / "files" / name

    def source(self, disk: Disk) -> Path:
        """The user's image of a disk; in an unpacked recording it lies inside."""
        return self.root / disk.source

    def written(self, index: int, disk: Disk) -> Path:
        """The qcow2 that the recorded guest wrote to."""
        return self.source(disk) if disk.in_place else self.disk(index)

    def relative(self, path: Path) -> str:
        """``path`` as it is written in the manifest."""
        return path.relative_to(self.root).as_posix()


def make_directory(layout: Layout) -> None:
    """Make the directory of a new recording, and those in it.

    :raises UsageError: it exists already.
    :raises RecordingError: it cannot be made.
    """
    try:
        layout.root.mkdir(parents=True)
        # Whatever the umask: it holds the guest's memory.
        layout.root.chmod(0o700)
        for name in ("snapshots", "disks", "files"):
            (layout.root / name).mkdir()
    except FileExistsError:
        raise UsageError(f"{layout.root} exists already; choose another place with --output, or remove it.") from None
    except OSError as error:
        raise RecordingError(f"Cannot make the recording {layout.root}: {error.strerror}.") from None


class Recording:
    """An opened recording: its manifest, and the digest of its log."""

    def __init__(self, layout: Layout, manifest: Manifest, log: LogSummary, lock: int | None) -> None:
        self.layout = layout
        self.manifest = manifest
        self.log = log
        self._lock = lock

    @classmethod
    def open(cls, root: Path, *, trusted: bool = False) -> Recording:
        """Open and check a recording; one that is ``trusted`` was made a moment ago, by this process.

        :raises RecordingError: it is missing, incomplete, damaged, or in use by another rrdbg, or it was made by
            somebody else and asks for more than a machine.
        """
        layout = Layout(root.absolute())
        if not root.is_dir():
            raise RecordingError(f"There is no recording at {root}. 'rrdbg ls' lists the recordings.")
        manifest = Manifest.read(layout.manifest)
        if not trusted and not is_own(layout.manifest):
            check_foreign(layout.root, manifest)
        lock = take_lock(layout)
        try:
            _check_files(layout, manifest)
            return cls(layout, manifest, _digest(layout), lock)
        except BaseException:
            if lock is not None:
                os.close(lock)
            raise

    @classmethod
    def peek(cls, root: Path) -> Recording:
        """Open a recording to tell about it only: nothing is checked, locked or written.

        :raises RecordingError: it is missing or damaged.
        """
        layout = Layout(root.absolute())
        manifest = Manifest.read(layout.manifest)
        try:
            return cls(layout, manifest, LogSummary.from_bytes(layout.deliveries.read_bytes()), None)
        except (FileNotFoundError, LogError):
            return cls(layout, manifest, summarise(layout.log), None)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.layout.name

    @property
    def writable(self) -> bool:
        """False where snapshots cannot be kept, since the directory is read-only."""
        return self._lock is not None

    def close(self) -> None:
        """Let others use it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def take_lock(layout: Layout) -> int | None:
    """A file descriptor that holds the recording's lock, until it is closed; None where the directory is read-only.

    :raises RecordingError: another rrdbg holds it.
    """
    if not os.access(layout.root, os.W_OK):
        return None
    lock = os.open(layout.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_SECONDS
    while not _try_lock(lock):
        if time.monotonic() > deadline:
            os.close(lock)
            raise RecordingError(
                f"The recording {layout.root} is in use by another rrdbg; end that one first, or work on a copy."
            )
        time.sleep(_LOCK_SECONDS / 50)
    return lock


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def incomplete(path: Path | str) -> RecordingError:
    """The error that a recording lacks its file ``path``."""
    return RecordingError(f"The recording is incomplete: {path} is missing. Restore it, or record again.")


def _check_files(layout: Layout, manifest: Manifest) -> None:
    for name, expected in manifest.checksums.items():
        path = layout.root / name
        try:
            found = checksum(path)
        except FileNotFoundError:
            raise incomplete(path) from None
        except OSError as error:
            raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None
        if found != expected:
            raise RecordingError(
                f"{path} is not the file that was recorded: its checksum differs from the manifest's. "
                "It was changed, truncated, or belongs to another recording; restore it, or record again."
            )


def _digest(layout: Layout) -> LogSummary:
    try:
        return LogSummary.from_bytes(layout.deliveries.read_bytes())
    except (FileNotFoundError, LogError):
        summary = summarise(layout.log)
        if os.access(layout.root, os.W_OK):
            write_atomically(layout.deliveries, summary.to_bytes())
        return summary
