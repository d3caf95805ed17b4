"""Recordings to keep snapshots of: workload, and a guest that writes a disk."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.errors import Stalled
from rrdbg.links.machine import Machine
from tests.guests.build import QEMU_OPTIONS, run_tool
from tests.recordings import fresh_copy

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

SECTORS = 64
QEMU = "qemu-system-x86_64"


def record(command: tuple[str, ...], directory: Path, **options: Any) -> Path:
    return asyncio.run(Recorder(RecordRequest(command, directory, **options)).run()).directory


@dataclass(frozen=True)
class DiskGuest:
    """A recording of a guest that writes its disk, the user's images, and where it counts what it wrote."""

    recording: Path
    image: Path
    cdrom: Path
    number: int


def build_disk(directory: Path) -> tuple[bytes, int]:
    """The boot sector of a guest that writes its disk, and the address of ``number``."""
    return boot_sector(directory, Path(__file__).parent / "guest" / "disk.S")


def boot_sector(directory: Path, source: Path) -> tuple[bytes, int]:
    """The boot sector made of ``source``, and the address of ``number`` in it."""
    run_tool("as", "--32", "-o", str(directory / "disk.o"), str(source))
    run_tool("ld", "-m", "elf_i386", "-Ttext", "0x7c00", "-o", str(directory / "disk.elf"), str(directory / "disk.o"))
    run_tool("objcopy", "-O", "binary", str(directory / "disk.elf"), str(directory / "disk.bin"))
    symbols = {
        line.split()[2]: int(line.split()[0], 16) for line in run_tool("nm", str(directory / "disk.elf")).splitlines()
    }
    return (directory / "disk.bin").read_bytes(), symbols["number"]


@pytest.fixture(scope="session", params=["raw", "qcow2"])
def disk_guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DiskGuest:
    """A guest with a disk that it writes all the time, and a CD-ROM; not to be changed."""
    root = tmp_path_factory.mktemp(f"disk-{request.param}")
    sector, number = build_disk(root)
    raw = root / "disk.img"
    raw.write_bytes(sector + bytes(1 << 20) + b"not written")
    raw.write_bytes(raw.read_bytes().ljust(2 << 20, b"\0"))
    image = raw
    if request.param == "qcow2":
        image = root / "disk.qcow2"
        run_tool("qemu-img", "convert", "-O", "qcow2", str(raw), str(image))
    cdrom = root / "cd.iso"
    cdrom.write_bytes(bytes(range(256)) * 256)
    command = (QEMU, *QEMU_OPTIONS, "-serial", "stdio", "-hda", str(image), "-cdrom", str(cdrom))
    recording = record(command, root / "recording", until_console="." * 25)
    return DiskGuest(recording, image, cdrom, number)


@pytest.fixture(scope="session")
def workload(workload: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording of workload, in which nobody has travelled; not to be changed."""
    return fresh_copy(workload, tmp_path_factory.mktemp("keeper") / "workload")


@pytest.fixture
def copied(workload: Path, tmp_path: Path) -> Path:
    """A copy of workload's recording."""
    return Path(shutil.copytree(workload, tmp_path / "workload"))


@pytest.fixture
def run() -> Iterator[Run[Any]]:
    """Run coroutines one after another in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The icount at which a QEMU hangs as it gets ready to save, the first that does so; again if it is tried again.

    QEMU 10 and 11 hang where a disk request waits for the log.
    """
    monitor = Machine.monitor
    places: list[int] = []

    async def hang(machine: Machine, line: str) -> str:
        if line.startswith("savevm"):
            icount = await machine.icount()
            if not places or icount == places[0]:
                places.append(icount)
                raise Stalled("QEMU did not answer.")
        return await monitor(machine, line)

    monkeypatch.setattr(Machine, "monitor", hang)
    return places


def digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()
