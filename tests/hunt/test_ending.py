"""A hunt that is ended at any moment leaves no process, no file and no socket."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from distributed import LocalCluster

from rrdbg.store.workfolder import WorkFolder
from tests.cli.conftest import Cli, bare_metal
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import build
from tests.processes import GRACE_SECONDS, wait_until_gone, wait_until_swept

KILLS = int(os.environ.get("RRDBG_KILLS", "2"))

LONGEST_SECONDS = 8.0
"""By then all of it may be over: the run that fails, those that explain it, and the comparison with one of them."""


def sockets_in(folder: Path) -> set[str]:
    """The unix sockets below ``folder``."""
    words = Path("/proc/net/unix").read_text().split()
    return {word for word in words if word.startswith(f"{folder}/")}


@pytest.fixture(scope="module")
def racy() -> Path:
    """A guest that fails in each third run."""
    with failing_clearly("check_use"):
        return build("check_use", GUEST_DIR, "ROUNDS=2", "GAP=2000")


@pytest.mark.parametrize("number", range(KILLS))
def test_nothing_is_left_whenever_it_is_ended(number: int, racy: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path / "library")
    words = ("--seed", "2:1", "--vary", "shift,idle,firmware", "--", *bare_metal(racy))
    end_at_random(cli, number, words, tmp_path)


@pytest.mark.matrix
@pytest.mark.parametrize("number", range(KILLS))
def test_nor_of_one_that_goes_on_from_a_recording(number: int, racy: Path, tmp_path: Path) -> None:
    """With a session in it, a look for places, and runs that begin at them."""
    cli = Cli(tmp_path / "library")
    first = cli.root / "first"
    cli("record", "-q", "--no-check", "-o", str(first), "--until-console", "done", "--", *bare_metal(racy))
    end_at_random(cli, number, ("--from", f"{first}@10%", "--vary", "later,shift,place"), tmp_path)
    assert "Verified" in cli("verify", str(first)).stdout


@pytest.mark.matrix
@pytest.mark.parametrize("number", range(KILLS))
def test_nor_on_a_cluster(number: int, racy: Path, tmp_path: Path) -> None:
    """Whose workers live on, and go on to work for the next."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", local_directory=str(tmp_path)
    ) as cluster:
        words = ("--dask", cluster.scheduler_address, "--vary", "shift,idle,firmware", "--", *bare_metal(racy))
        cli = Cli(tmp_path / "library")
        end_at_random(cli, number, words, tmp_path)
        cli("hunt", "--no-check", "--json", "--until-console", "moon", "--runs", "1", *words, check=3)
        wait_until_over(cli.root, "the next")


def end_at_random(cli: Cli, number: int, words: Sequence[str], folder: Path) -> None:
    """Begin a hunt, end it at any moment, each second one by Ctrl-C, and look for what it leaves."""
    temporary = Path(tempfile.gettempdir())
    before = sockets_in(temporary)  # of other tests, in this process
    kept = {path.name for path in cli.root.glob("*")}
    how = (signal.SIGKILL, signal.SIGINT)[number % 2]
    moment = random.uniform(0, LONGEST_SECONDS)
    where = f"{how.name} after {moment:.3f} s"
    hunter = cli.popen("hunt", "--no-check", "--json", "--until-console", "PANIC", *words)
    try:
        hunter.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        # A terminal's Ctrl-C goes to all of its processes.
        os.killpg(hunter.pid, how) if how is signal.SIGINT else hunter.kill()
    hunter.communicate(timeout=GRACE_SECONDS)
    wait_until_over(cli.root, where)
    wait_until_gone(temporary)  # on a cluster's workers, which have the environment of this process
    wait_until_swept(temporary)
    if how is signal.SIGKILL and cli.root.exists():
        WorkFolder(cli.root).close()  # as the next hunt does first
    left = [path for path in cli.root.glob("*") if path.name not in {"latest", "state"} | kept]
    assert all((path / "manifest.json").exists() for path in left), f"{where}: {left}"
    assert not sockets_in(folder), where
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
