"""What the commands of each page find: the guests and recordings that it names, in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.store.library import Library
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests import linux
from tests.guests.build import BUGS, QEMU_OPTIONS, build
from tests.guests.linux.tasks import build_tasks
from tests.guests.rtos import build_rtos

ROOT = Path(__file__).parents[2]
_RTC = ("-rtc", "base=2026-11-22T10:00:00")


@dataclass(frozen=True)
class Guest:
    """A guest of tests/guests, and where its recording ends."""

    name: str
    defines: tuple[str, ...] = ()
    until: str | None = None
    take: int = 1
    """Another number is another recording of the same."""

    def build(self) -> Path:
        """Its ELF file."""
        with failing_clearly(self.name):
            return (
                build_rtos("mps2-an385", GUEST_DIR)
                if self.name == "rtos"
                else build(self.name, GUEST_DIR, *self.defines)
            )

    def request(self, directory: Path) -> RecordRequest:
        """How it is recorded."""
        command = ("qemu-system-x86_64", *QEMU_OPTIONS, "-serial", "stdio", "-kernel", str(self.build()), *_RTC)
        return RecordRequest(command, directory, until_console=self.until)


@dataclass(frozen=True)
class Linux:
    """The Linux guest of tests/guests/linux that runs several programs."""

    name: str = "tasks"

    def request(self, directory: Path) -> RecordRequest:
        """How it is recorded."""
        with failing_clearly(self.name):
            guest = build_tasks(GUEST_DIR).guest
        command = (
            "qemu-system-x86_64", *linux.QEMU_OPTIONS, "-nographic", "-no-reboot", "-kernel", str(guest.kernel),
            "-initrd", str(guest.initrd), "-append", guest.cmdline, *_RTC,
        )  # fmt: skip
        return RecordRequest(command, directory)


HEAPBUG = Guest("heapbug", until="PANIC")
WORKLOAD = Guest("workload")


@dataclass(frozen=True)
class World:
    """What is there when a page is begun."""

    files: Mapping[str, Guest] = field(default_factory=dict)
    """ELF files, by the names that the page has for them."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Other files."""
    recordings: Mapping[str, Guest] = field(default_factory=dict)
    """Recordings in the library; the last one is the latest."""
    long: Mapping[str, Linux] = field(default_factory=dict)
    """Recordings that are there only for a page's long blocks, and the latest then."""
    words: Mapping[str, str] = field(default_factory=dict)
    """What stands for the words of a page that its reader replaces by his own; ``PORT`` is a free one."""
    matrix: bool = False
    """Whether all of the page takes so long that only ``make test-matrix`` runs it."""
    opened: Mapping[str, str] = field(default_factory=dict)
    """The commands that start the sessions which a page has open from its beginning, by their prompts."""


WORLDS = {
    "README.md": World(files={"heapbug.elf": HEAPBUG}),
    "docs/tutorial.md": World(opened={"(rrdbg)": "rrdbg replay"}),
    "docs/howto/agents.md": World(recordings={"heapbug-1": HEAPBUG}),
    "docs/howto/bisect.md": World(
        matrix=True,
        files={"good.elf": Guest("copies"), "bad.elf": Guest("copies", ("LIMIT=41",))},
        recordings={
            "boot-1": WORKLOAD, "boot-2": Guest("workload", take=2), "heapbug-1": HEAPBUG,
            "good": Guest("copies"), "bad": Guest("copies", ("LIMIT=41",)),
        },
    ),
    "docs/howto/bugs.md": World(
        matrix=True,
        files={"wild_write.elf": Guest("wild_write")},
        recordings={name: Guest(name, until="PANIC") for name in BUGS if name != "wild_write"},
    ),
    "docs/howto/cortex-m.md": World(matrix=True, files={"rtos.elf": Guest("rtos")}),
    "docs/howto/doctor.md": World(matrix=True, recordings={"heapbug-1": HEAPBUG}, words={"NAME": "heapbug-1"}),
    "docs/howto/events.md": World(
        recordings={"heapbug-1": HEAPBUG},
        words={'"BUG:"': '"PANIC"', "12.5s": "0.1s", "2026-11-22T10:00:03": "2026-11-22T10:00:00"},
        opened={"(rrdbg)": "rrdbg replay heapbug-1 --at 50%"},
    ),
    "docs/howto/gdb.md": World(
        matrix=True,
        files={"vmlinux": WORKLOAD},
        recordings={"workload-1": WORKLOAD},
        words={
            "RECORDING": "workload-1",
            "localhost:1234": "localhost:PORT",
            "limit": "counter",
            '"BUG:"': '"workload"',
            "--shared": "--shared --listen unix:shared",
        },
        opened={"(gdb)": "gdb -q vmlinux"},
    ),
    "docs/howto/linux.md": World(long={"boot-1": Linux()}),
    "docs/howto/origin.md": World(
        matrix=True,
        recordings={"copies-1": Guest("copies")}, opened={"(rrdbg)": "rrdbg replay copies-1"}
    ),
    "docs/howto/parallel.md": World(
        matrix=True,
        recordings={"workload-1": WORKLOAD}, words={"NAME": "workload-1", "jiffies": "counter == 700"}
    ),
    "docs/howto/profile.md": World(
        matrix=True,
        files={"firmware.elf": WORKLOAD}, recordings={"boot-1": WORKLOAD, "firmware-1": WORKLOAD}
    ),
    "docs/howto/shell.md": World(
        matrix=True,
        files={"vmlinux": HEAPBUG},
        texts={"commands.txt": "bt\n"},
        recordings={"heapbug-1": HEAPBUG},
        words={"NAME": "heapbug-1", "panic": "panic_bad_magic"},
    ),
    "docs/howto/vscode.md": World(
        recordings={"workload-1": WORKLOAD}, words={"RECORDING": "workload-1", "localhost:1234": "localhost:PORT"}
    ),
    "docs/howto/web.md": World(recordings={"heapbug-1": HEAPBUG}),
}  # fmt: skip
"""By page; one that is not named here has nothing."""


class Recordings:
    """A recording of each guest, made when the first page asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[Guest | Linux, Path] = {}

    def copy(self, guest: Guest | Linux, target: Path) -> None:
        """Put one at ``target``, where a page may leave what it finds; no two targets have the same of those."""
        if guest not in self._made:
            request = guest.request(self._folder / f"{guest.name}-{len(self._made)}")
            self._made[guest] = asyncio.run(Recorder(request).run()).directory
        shutil.copytree(self._made[guest], target)


@dataclass(frozen=True)
class Place:
    """A folder in which a page's commands are run, with the environment that they have there."""

    folder: Path
    environment: Mapping[str, str]
    words: Mapping[str, str]

    @classmethod
    def make(cls, world: World, recordings: Recordings, folder: Path, *, long: bool) -> Place:
        """Lay out ``world`` in ``folder``, with what its ``long`` blocks need or without."""
        for name, guest in world.files.items():
            shutil.copyfile(guest.build(), folder / name)
        for name, text in world.texts.items():
            (folder / name).write_text(text)
        for name in (".venv", "tests", "gdb_scripts"):
            (folder / name).symlink_to(ROOT / name)
        library = Library(folder / "library")
        library.root.mkdir()
        wanted: dict[str, Guest | Linux] = {**world.recordings, **(world.long if long else {})}
        for name, which in wanted.items():
            recordings.copy(which, library.root / name)
            library.mark_latest(library.root / name)
        environment = {
            **os.environ, "RRDBG_DIR": str(library.root), "HOME": str(folder), "BROWSER": "true", "COLUMNS": "100",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "NO_COLOR": "1",
            "TERM": "xterm-256color",
        }  # fmt: skip
        port = str(free_port())
        return cls(folder, environment, {word: own.replace("PORT", port) for word, own in world.words.items()})

    @property
    def consoles(self) -> set[str]:
        """The lines that the guests of all recordings have printed."""
        files = self.folder.rglob("console.log")
        return {line.strip() for file in files for line in file.read_text(errors="replace").splitlines()}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
