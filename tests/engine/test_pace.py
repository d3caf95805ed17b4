"""A replay keeps its own pace: nothing that we ask now and then sets it, and a machine that stands does nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.links import qmp, watchdog
from rrdbg.links.scheduling import Processors, Threads


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


@pytest.fixture
def spinning() -> Iterator[Callable[[], int]]:
    """Starts processes that do nothing else than to run, named as QEMU names the thread that executes the guest."""
    with ExitStack() as started:

        def start() -> int:
            process = started.enter_context(subprocess.Popen([sys.executable, "-c", _SPIN], stdout=subprocess.PIPE))
            started.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"named\n"
            return process.pid

        yield start


_SPIN = """
open("/proc/self/comm", "w").write("CPU 0/TCG")
print("named", flush=True)
while True:
    pass
"""


def test_a_machine_leaves_a_processor_where_others_are_busy(spinning: Callable[[], int]) -> None:
    """A session of somebody else's keeps to the same one, so the kernel can put neither elsewhere."""
    machine, other = spinning(), spinning()
    processors = Processors(0)
    home, *rest = sorted(processors.all)
    os.sched_setaffinity(other, {home})
    threads = Threads(machine, processors)
    for _ in range(100):
        with threads.together():
            time.sleep(0.06)  # what is measured is what it gets meanwhile
        with threads.together():
            if os.sched_getaffinity(machine) != {home}:
                return
    assert not rest, "It stays beside the other one."
