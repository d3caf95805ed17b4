"""Recordings that QEMU alone has made, by command lines as people write them."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.engine.making.importer import Importer, ImportRequest
from tests.cli.conftest import cli
from tests.engine.conftest import Run, run
from tests.guests.build import run_tool
from tests.keeper.conftest import build_disk

__all__ = ["Run", "cli", "run"]

QEMU = "qemu-system-x86_64"
SAFE = ("-machine", "hpet=off", "-global", "apic-common.vapic=off", "-rtc", "base=2026-11-22T10:00:00,clock=vm")
SECONDS = 60


@dataclass(frozen=True)
class HandMade:
    """A recording in ``directory``: the ``words`` for the machine and what follows ``shift`` in ``-icount``.

    ``images`` are the files that the guest's drives are in.
    """

    directory: Path
    words: tuple[str, ...]
    shift: str
    snapshot: str = ""
    images: tuple[str, ...] = ()

    def command(self, mode: str) -> tuple[str, ...]:
        """The user's command line to ``record`` or ``replay``."""
        icount = f"shift={self.shift},rr={mode},rrfile=replay.bin{self.snapshot}"
        return (QEMU, *self.words, "-serial", "file:console.log", "-icount", icount)

    def record(self, until: str) -> HandMade:
        """Record until the console has printed ``until``, or the guest has powered off."""
        process = subprocess.Popen(
            (*self.command("record"), "-monitor", "stdio", "-display", "none"),
            cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + SECONDS
            console = self.directory / "console.log"
            while process.poll() is None and not (console.exists() and until in console.read_text()):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.communicate(b"quit\n", timeout=SECONDS)
            assert process.returncode == 0
        finally:
            process.kill()
            process.wait()
        return self

    def digests(self) -> dict[str, str]:
        """Checksums of all that is the user's."""
        files = sorted(path for path in self.directory.iterdir() if path.is_file())
        return {path.name: hashlib.blake2b(path.read_bytes()).hexdigest() for path in files}

    def bring_in(self, directory: Path, words: Sequence[str] = (), images: Sequence[str] = ()) -> Path:
        """Import it, its replaying command line followed by ``words``, and return the recording."""
        command = (*self.command("replay"), "-S", "-s", *words)
        paths = [Path(image) for image in images]
        request = ImportRequest(command, directory, self.directory, images=paths)
        return asyncio.run(Importer(request).run()).directory


@pytest.fixture(scope="session")
def diskless(tmp_path_factory: pytest.TempPathFactory, workload_guest: Path) -> HandMade:
    """workload with ``shift=auto``, its initial snapshot in an image that is there for that alone."""
    directory = tmp_path_factory.mktemp("diskless")
    run_tool("qemu-img", "create", "-q", "-f", "qcow2", str(directory / "state.qcow2"), "1G")
    words = (
        "-m", "16M", *SAFE, "-nic", "none", "-kernel", str(workload_guest),
        "-drive", "if=none,id=state,file=state.qcow2,format=qcow2",
    )  # fmt: skip
    return HandMade(directory, words, "auto", ",rrsnapshot=day one").record("done")


@dataclass(frozen=True)
class DiskImages:
    """What the guest that writes its disk boots from: a raw image and a qcow2 one, and where it counts its writes."""

    raw: Path
    qcow2: Path
    number: int


@pytest.fixture(scope="session")
def disk_images(tmp_path_factory: pytest.TempPathFactory) -> DiskImages:
    directory = tmp_path_factory.mktemp("images")
    sector, number = build_disk(directory)
    raw = directory / "disk.img"
    raw.write_bytes(sector.ljust(2 << 20, b"\0"))
    run_tool("qemu-img", "convert", "-O", "qcow2", str(raw), str(directory / "disk.qcow2"))
    return DiskImages(raw, directory / "disk.qcow2", number)


def with_disk(directory: Path, *drives: str, snapshot: str = "", images: tuple[str, ...]) -> HandMade:
    """A machine that boots from the drive ``img-blkreplay``, which ``drives`` describe."""
    words = ("-m", "16M", "-nodefaults", *SAFE, *drives, "-device", "ide-hd,drive=img-blkreplay")
    return HandMade(directory, words, "5", snapshot, images)
