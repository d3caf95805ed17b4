"""GDBs with the extension, on served recordings.

RRDBG_GDBS names the GDBs to test, parted by colons; without it, that is ``gdb`` alone. scripts/other-qemu installs
others.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from tests.server.conftest import serving

SCRIPT = Path(__file__).parent.parent.parent / "gdb_scripts" / "rrdbg.py"
SECONDS = 120
PROGRAMS = os.environ.get("RRDBG_GDBS", "gdb").split(":")
FIRST_ADAPTER = 16
"""The first GDB whose debug adapter takes requests from scripts."""


def _version(program: str) -> int:
    """The first number of a GDB's version."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.partition("\n")[0].rpartition(" ")[2].partition(".")[0])


collect_ignore = [] if any(_version(name) >= FIRST_ADAPTER for name in PROGRAMS) else ["test_debug_adapter.py"]
"""Debian 12's GDB has no debug adapter at all, so there is nothing to test."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "program" in metafunc.fixturenames:
        metafunc.parametrize("program", PROGRAMS)
    if "adapter_program" in metafunc.fixturenames:
        metafunc.parametrize("adapter_program", [name for name in PROGRAMS if _version(name) >= FIRST_ADAPTER])


async def output_of(program: str, *words: str, script: str, folder: Path) -> list[str]:
    """The lines that a GDB prints which is given ``words`` and runs ``script``; it must not fail in between."""
    path = folder / "script.gdb"
    path.write_text(script)
    process = await asyncio.create_subprocess_exec(
        program, "-nx", "-batch", "-iex", "set pagination off", "-iex", "set confirm off", *words, "-x", str(path),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    lines = printed.decode().splitlines()
    assert process.returncode == 0, "\n".join(lines)
    return lines


class Extended:
    """A served recording, and GDBs that are connected to it and have the extension."""

    def __init__(self, replay: Replay, address: str, program: str, elf: Path, folder: Path) -> None:
        self.replay = replay
        self.address = address
        self._program = program
        self._elf = elf
        self._folder = folder

    async def __call__(self, script: str) -> list[str]:
        """What a GDB prints that runs ``script``; what it prints when it connects is left out."""
        words = ("-ex", f"source {SCRIPT}", "-ex", f"target remote {self.address}", "-ex", "echo connected\\n")
        lines = await output_of(self._program, *words, str(self._elf), script=script, folder=self._folder)
        return lines[lines.index("connected") + 1 :]


@pytest.fixture
async def extended(workload: Path, workload_guest: Path, program: str, tmp_path: Path) -> AsyncIterator[Extended]:
    """GDBs on a copy of the recording workload."""
    async with serving(workload, tmp_path) as (replay, address):
        yield Extended(replay, address, program, workload_guest, tmp_path)


@pytest.fixture
def heapbug_recording(heapbug: Path, tmp_path: Path) -> Path:
    """A copy of the recording of heapbug."""
    return Path(shutil.copytree(heapbug, tmp_path / "heapbug"))
