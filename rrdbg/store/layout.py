"""Where the files of a recording lie: one directory that can be moved as a whole.

manifest.json     what was recorded, with which QEMU, how it ended
replay.bin        QEMU's log of all that was not determined by the guest itself
console.log       what the guest wrote to its first serial port
deliveries.bin    a digest of the log: length, interrupts and exceptions
timeline.json     snapshots and bookmarks known so far; may grow at any time
hits.json         what scans have found; may be deleted at any time
linux.json        what was found out about a Linux guest, its kernel's symbols in kernel.elf, and from where on
                  which of its tasks ran in switches.json; as hits.json
snapshots/        the state and the table of pages of each, never written again once they are complete
ram/              the pages, and an image that running machines map; from there, too, nothing is needed to replay
disks/            an overlay for each of the guest's disks, as it was at the end of the recording
files/            copies of the kernel, the initrd and so on
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import RecordingError, UsageError
from rrdbg.model.machine.drives import Disk


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
    def linux(self) -> Path:
        """What was found out about a Linux guest."""
        return self.root / "linux.json"

    @property
    def switches(self) -> Path:
        """From where on which of its tasks ran."""
        return self.root / "switches.json"

    @property
    def kernel_symbols(self) -> Path:
        """The names of its kernel, in an ELF file."""
        return self.root / "kernel.elf"

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
            (layout.root / name).mkdir(mode=0o700)
    except FileExistsError:
        raise UsageError(f"{layout.root} exists already; choose another place with --output, or remove it.") from None
    except OSError as error:
        raise RecordingError(f"Cannot make the recording {layout.root}: {error.strerror}.") from None
