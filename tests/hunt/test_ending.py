"""A hunt that is ended at any moment leaves no process, no file and no socket."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from rrdbg.store.workfolder import WorkFolder
from tests.cli.conftest import Cli, bare_metal
from tests.conftest import GUEST_DIR
from tests.guests.build import build
from tests.processes import GRACE_SECONDS, wait_until_swept

KILLS = int(os.environ.get("RRDBG_KILLS", "2"))

LONGEST_SECONDS = 8.0
"""By then all of it may be over: the run that fails, those that explain it, and the comparison with one of them."""


def sockets_in(folder: Path) -> set[str]:
    """The unix sockets below ``folder``."""
    words = Path("/proc/net/unix").read_text().split()
    return {word for word in words if word.startswith(f"{folder}/")}


@pytest.mark.parametrize("number", range(KILLS))
def test_nothing_is_left_whenever_it_is_ended(number: int, tmp_path: Path) -> None:
    temporary = Path(tempfile.gettempdir())
    before = sockets_in(temporary)  # of other tests, in this process
    elf = build("check_use", GUEST_DIR, "ROUNDS=2", "GAP=2000")
    how = (signal.SIGKILL, signal.SIGINT)[number % 2]
    moment = random.uniform(0, LONGEST_SECONDS)
    where = f"{how.name} after {moment:.3f} s"
    cli = Cli(tmp_path / "library")
    hunter = cli.popen(
        "hunt", "--no-check", "--json", "--until-console", "PANIC", "--seed", "2:1", "--vary", "shift,idle,firmware",
        "--", *bare_metal(elf),
    )  # fmt: skip
    try:
        hunter.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        # A terminal's Ctrl-C goes to all of its processes.
        os.killpg(hunter.pid, how) if how is signal.SIGINT else hunter.kill()
    hunter.communicate(timeout=GRACE_SECONDS)
    wait_until_over(cli.root, where)
    wait_until_swept(temporary)
    if how is signal.SIGKILL and cli.root.exists():
        WorkFolder(cli.root).close()  # as the next hunt does first
    left = [path for path in cli.root.glob("*") if path.name not in ("latest", "state")]
    assert all((path / "manifest.json").exists() for path in left), f"{where}: {left}"
    assert not sockets_in(tmp_path), where
    assert not sockets_in(temporary) - before, where


def wait_until_over(library: Path, where: str) -> None:
    """Wait for the end of all processes that have this library in their environment: each has, whoever started it."""
    deadline = time.monotonic() + GRACE_SECONDS
    while left := started_with(library):
        assert time.monotonic() < deadline, f"{where}: {left}"
        time.sleep(0.02)


def started_with(library: Path) -> list[int]:
    wanted = b"RRDBG_DIR=" + os.fsencode(library) + b"\0"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or is none of ours
    return found
