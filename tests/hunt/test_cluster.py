"""A hunt on a Dask cluster: what fails comes back, and a worker that dies loses nothing but its run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from rrdbg.engine.hunt.attempt import Guest, LocalTries
from rrdbg.engine.hunt.cluster import ClusterTries
from rrdbg.engine.making.recorder import Recorded
from rrdbg.engine.search.parallel.cluster import Calls, Cluster
from rrdbg.frontends.cli.main import main
from rrdbg.model.hunt.course import Course
from rrdbg.model.hunt.perturbation import Perturbation
from rrdbg.store.layout import Layout
from rrdbg.store.recording import Recording
from rrdbg.store.workfolder import WorkFolder
from tests.cli.conftest import Cli, bare_metal
from tests.conftest import GUEST_DIR
from tests.guests.build import build
from tests.processes import GRACE_SECONDS, qemus_in, wait_until_gone, wait_until_swept

MOON = ("--until-console", "moon", "--done-console", "PANIC")


@pytest.fixture(scope="module")
def racy() -> Path:
    return build("check_use", GUEST_DIR, "ROUNDS=2", "GAP=2000")


async def panics(recorded: Recorded) -> str | None:
    return "panic" if b"PANIC" in Layout(recorded.directory).console.read_bytes() else None


class _Here(Calls):
    """Calls that are made in this process at once, as a worker makes them."""

    def __init__(self) -> None:
        """Without a cluster."""

    async def share(self, value: object) -> Any:
        return value

    def submit(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: object, shared: object = None
    ) -> Any:
        return function(*arguments, shared)

    async def result(self, future: Any) -> Any:
        return await future


class _HereCluster(Cluster):
    def __init__(self) -> None:
        """Of one worker, which is this process."""

    def calls(self) -> Calls:
        return _Here()


async def one_of_each(guest: Guest, folder: Path) -> tuple[Perturbation, Perturbation]:
    """One with which the guest fails and one with which it passes; each QEMU has a firmware of its own speed."""
    found: dict[str | None, Perturbation] = {}
    for length in (58, 0, *range(1, 40)):
        perturbation = Perturbation(idle="jump", firmware=length or None)
        tried = await LocalTries(panics, 1).make(guest, perturbation, folder / f"{length}")
        found.setdefault(tried.failed, perturbation)
        if len(found) == 2:
            break
    shutil.rmtree(folder)
    return found["panic"], found[None]


async def test_what_fails_comes_back_and_what_passes_does_not(racy: Path, tmp_path: Path) -> None:
    """Packed, and then as whole as one that was made here."""
    tries = ClusterTries(_HereCluster(), panics)
    guest = Guest(bare_metal(racy), ("PANIC", "done"), 30.0)
    fails, passes = await one_of_each(guest, tmp_path / "looked")
    failed = await tries.make(guest, fails, tmp_path / "failed")
    passed = await tries.make(guest, passes, tmp_path / "passed")
    assert (failed.failed, passed.failed) == ("panic", None)
    assert [path.name for path in tmp_path.iterdir()] == ["failed"]
    here = await LocalTries(panics, 1).make(await guest.known(), fails, tmp_path / "here")
    assert here.course.same_as(failed.course)
    with Recording.open(tmp_path / "failed", trusted=True) as recording:
        assert Course.of(recording.log.deliveries, None) == replace(failed.course, ending=b"")
        assert b"PANIC" in recording.layout.console.read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dask", "tcp://127.0.0.1:9", "--", "qemu-system-x86_64", "-kernel", "k.elf"], "write k.elf as an absolute"),
        (["--dask", "tcp://127.0.0.1:9", "--", "qemu-system-x86_64"], "There is no Dask scheduler at"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RRDBG_DIR", str(tmp_path / "library"))
    monkeypatch.setattr("rrdbg.engine.search.parallel.cluster.CONNECT_SECONDS", 0.2)
    assert main(["hunt", "--until-console", "X", *words]) in (1, 2)
    assert says in capsys.readouterr().err


@pytest.mark.matrix
def test_a_worker_that_dies_loses_its_run_and_nothing_else(racy: Path, tmp_path: Path) -> None:
    runs = 12
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", local_directory=str(tmp_path)
    ) as cluster:
        cli = Cli(tmp_path / "library")
        seeded = ("--no-check", "--json", "--dask", cluster.scheduler_address, "--vary", "shift,idle,firmware")
        hunter = cli.popen("hunt", *seeded, *MOON, "--seed", "3", "--runs", str(runs), "--", *bare_metal(racy))
        assert hunter.stdout is not None
        numbers = [json.loads(hunter.stdout.readline())["number"]]
        killed = next(iter(cluster.workers.values())).pid
        os.kill(killed, signal.SIGKILL)
        told, complaints = hunter.communicate(timeout=120)
        *more, end = map(json.loads, told.splitlines())
        numbers += [item["number"] for item in more]
        lost = complaints.count("does not count")
        assert hunter.returncode == 3, complaints
        assert len(set(numbers)) == len(numbers) == end["runs"] == runs - lost
        assert lost <= 1
        # The same hunt finds what there is to be found, and that is kept here.
        found = cli(
            "hunt", *seeded, "--until-console", "PANIC", "--seed", "2:1", "--no-explain", "--", *bare_metal(racy)
        )
        kept = json.loads(found.stdout.splitlines()[-1])["kept"]
        assert kept == [str(cli.root / "hunt-1")]
        assert "PANIC" in cli("console", kept[0]).stdout
        # From the middle of a recording, too.
        first = cli.root / "first"
        cli("record", "-q", "--no-check", "-o", str(first), "--until-console", "done", "--", *bare_metal(racy))
        options = (*seeded[:4], "--vary", "later,shift", "--from", f"{first}@90%", *MOON, "--runs", "3")
        end = json.loads(cli("hunt", *options, check=3).stdout.splitlines()[-1])
        assert (end["runs"], end["different"]) == (3, 3)
        # A guest that waits for ever, so that no run ends by itself: each is ended there, however the hunt is.
        waits = bare_metal(build("typed", GUEST_DIR))
        temporary = Path(tempfile.gettempdir())
        for how, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
            hunter = cli.popen("hunt", *seeded, *MOON, "--timeout", "600", "--", *waits)
            deadline = time.monotonic() + GRACE_SECONDS
            while len(qemus_in(temporary)) < 2:
                assert time.monotonic() < deadline
                assert hunter.poll() is None
                time.sleep(0.02)
            hunter.send_signal(how)
            hunter.communicate(timeout=GRACE_SECONDS)
            assert hunter.returncode == status
            wait_until_gone(temporary)
            wait_until_swept(temporary)
        WorkFolder(cli.root).close()  # as the next hunt does first
        assert sorted(path.name for path in cli.root.iterdir()) == ["first", "hunt-1", "latest", "state"]
