"""The guests that are measured: where their recordings are made, and which of their symbols are used."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.snapshots.indexer import Indexed, index
from rrdbg.errors import RecordingError
from rrdbg.store.recording import Recording
from tests.guests import linux
from tests.guests.build import QEMU_OPTIONS, build, symbol
from tests.guests.linux import build_linux, make_symbols
from tests.recordings import forget

BUILT = Path(__file__).parents[1] / "build" / "guests"
"""Where the programs lie; ``python -m tests.guests`` makes them, too."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A recording, and what to look for in it.

    ``near`` and ``far`` are functions that are called last shortly before the end and long before it, ``never`` is not
    called, ``often`` is called more than a hundred times, ``busy`` ten thousand times from ``busy_from`` on (a share of
    the recording) while the eight bytes of ``growing`` grow. ``variable`` is asked for its last write, and ``turning``
    is at least ``turning_limit`` from some position on. ``lines`` tells that the symbols have source lines.
    """

    name: str
    recording: Path
    symbols: Path
    near: str
    far: str
    never: str
    often: str
    busy: str
    busy_from: float
    growing: str
    variable: str
    variable_length: int
    turning: str
    turning_length: int
    turning_limit: int
    quiet_from: float
    lines: bool
    kernel: Path | None = None
    """The program, if QEMU alone can record it with ``-kernel`` and no more."""

    def address(self, name: str) -> int:
        """The address of a symbol."""
        return symbol(self.symbols, name).address

    def copy(self, folder: Path, *, snapshots: bool = True) -> Path:
        """The recording once more, in ``folder``; its snapshot files, which never change, are the same files."""
        made = folder / self.name
        shutil.copytree(self.recording, made, copy_function=_link_or_copy)
        if not snapshots:
            forget(made)
        return made


def _link_or_copy(source: str, target: str) -> str:
    if source.endswith((".qcow2", ".state", ".pages")):
        os.link(source, target)
        return target
    return shutil.copy2(source, target)


async def linux_guest(folder: Path) -> Guest:
    """Debian's kernel from its start to its power-off."""
    guest = build_linux(BUILT)
    command = (
        "qemu-system-x86_64", *linux.QEMU_OPTIONS, "-nographic", "-no-reboot", "-kernel", str(guest.kernel),
        "-initrd", str(guest.initrd), "-append", guest.cmdline,
    )  # fmt: skip
    return Guest(
        "linux", await _recorded(folder / guest.kernel.name, command), make_symbols(guest),
        near="kernel_clone", far="start_kernel", never="panic", often="ksys_write",
        busy="_raw_spin_lock", busy_from=0.95, growing="jiffies_64", variable="panic_timeout", variable_length=4,
        turning="system_state", turning_length=4, turning_limit=3, quiet_from=0.6, lines=False,
    )  # fmt: skip


async def bare_metal_guest(folder: Path) -> Guest:
    """The program tests/guests/workload, which needs no operating system."""
    elf = build("workload", BUILT)
    command = ("qemu-system-x86_64", *QEMU_OPTIONS, "-serial", "stdio", "-kernel", str(elf))
    return Guest(
        "bare-metal", await _recorded(folder / elf.stem, command), elf,
        near="wait_for_tick", far="main", never="on_fault", often="do_round",
        busy="twist", busy_from=0.8, growing="counter", variable="invalid_opcodes", variable_length=8,
        turning="counter", turning_length=8, turning_limit=1500, quiet_from=0.75, lines=True, kernel=elf,
    )  # fmt: skip


GUESTS = {"bare-metal": bare_metal_guest, "linux": linux_guest}


async def _recorded(directory: Path, command: tuple[str, ...]) -> Path:
    """The recording in ``directory``, made if there is none that this machine's QEMU replays."""
    if directory.exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    await Recorder(RecordRequest(command, directory)).run()
    return directory


async def indexed(guest: Guest) -> Indexed:
    """Lay and prove the snapshots of a guest's recording anew.

    :raises RecordingError: that cannot be done.
    """
    with Recording.open(guest.recording) as recording:
        if not recording.writable:
            raise RecordingError(f"{guest.recording} is read-only; the benchmarks need snapshots in it.")
    forget(guest.recording)
    return await index(guest.recording)
