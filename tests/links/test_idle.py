"""A process is idle when all of its threads sleep."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rrdbg.links import idle
from rrdbg.links.idle import wait_for_host
from rrdbg.links.qmp import SnapshotNotNow

SLEEPS = "import sys; print(flush=True); sys.stdin.read()"
ONE_IS_BUSY = f"import threading; threading.Thread(target=exec, args=('while 1: pass',), daemon=True).start(); {SLEEPS}"


@contextmanager
def running(code: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_one_that_sleeps() -> None:
    with running(SLEEPS) as pid:
        asyncio.run(wait_for_host(pid))


def test_one_of_whose_threads_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "PATIENCE_SECONDS", 0.1)
    with running(ONE_IS_BUSY) as pid, pytest.raises(SnapshotNotNow, match="busy with its disks"):
        asyncio.run(wait_for_host(pid))
