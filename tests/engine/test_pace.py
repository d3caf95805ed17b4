"""A replay keeps its own pace: nothing that we ask now and then sets it, and a machine that stands does nothing."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.links import qmp, watchdog
from rrdbg.links.scheduling import Processors


async def test_a_guest_that_waits_needs_nobody_to_ask(
    workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It halts for each of its ticks; without a timer in QEMU the replay would stand there until it is asked."""
    monkeypatch.setattr(watchdog, "_POLL_SECONDS", 250.0)
    async with await Replay.open(Path(shutil.copytree(workload, tmp_path / "copy")), spacing=60) as replay:
        async with asyncio.timeout(100):
            await replay.seek(replay.timeline.end)
        assert replay.position == replay.timeline.end


async def test_a_machine_that_stands_is_let_alone(
    workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qmp, "AWAKE_SECONDS", 0.1)
    async with await Replay.open(Path(shutil.copytree(workload, tmp_path / "copy"))) as replay:
        await replay.seek(replay.timeline.end)
        process = (await replay.machine()).process
        status = Path(f"/proc/{process.pid}/status")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            before = _switches(status)
            await asyncio.sleep(0.5)  # what is awaited is that nothing happens
            if _switches(status) - before <= 5:
                return
    raise AssertionError("QEMU's main loop goes on waking up while the guest stands.")


def _switches(status: Path) -> int:
    """How often the process's first thread has gone to sleep."""
    line = next(line for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt_switches"))
    return int(line.split()[1])


def test_machines_that_run_are_spread_over_the_processors() -> None:
    processors = Processors()
    count = len(processors.all)
    with processors.one() as first:
        others = []
        for _ in range(count - 1):
            with processors.one() as other:
                others.append(other)
        assert first not in others
    second = Processors(1)
    with second.one() as chosen:
        assert chosen == sorted(second.all)[1 % count]
