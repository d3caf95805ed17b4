"""On every machine: replays are the same run each time, jumps lead to the state of the forward run, back is exact.

``RRDBG_JUMPS`` is how many jumps are made; `make test-matrix` sets it to 200.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.engine.window import Window
from rrdbg.errors import RspError, UsageError
from rrdbg.model.hits.stop import StopReason
from rrdbg.model.machine.safety import snapshot_hazard
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.snapshot import SnapshotKind
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.engine.conftest import Run
from tests.engine.test_oracle import is_at
from tests.matrix.jumps import forward, jump, places
from tests.oracle import Oracle, observe

JUMPS = int(os.environ.get("RRDBG_JUMPS", "12"))
STEPS = 300
DEVICES = {"x86_64": 0xFEE0_0020, "aarch64": 0x0801_000C, "riscv64": 0x1000_0000}
"""Registers that a read may change, by architecture: the interrupt controller's, or the serial port's."""
SEED = 8


@pytest.fixture
def replay(cell: Path, tmp_path: Path, run: Run[Any]) -> Iterator[Replay]:
    """A replay of a copy of the cell's recording."""
    opened = run(Replay.open(Path(shutil.copytree(cell, tmp_path / "recording"))))
    yield opened
    run(opened.close())


@pytest.fixture(scope="module")
def stretch(cell: Path) -> Oracle:
    """A stretch of the cell's recording with the delivery of an interrupt in it."""
    with Recording.open(cell) as recording:
        deliveries = recording.log.deliveries
    interrupts = [icount for icount in deliveries.icounts if Delivery.INTERRUPT in deliveries.at(icount)]
    return asyncio.run(observe(cell, interrupts[len(interrupts) // 2] - STEPS // 2, STEPS))


def test_jumps_and_replays_are_the_forward_run(cell: Path, replay: Replay, run: Run[Any]) -> None:
    with Recording.open(cell) as recording:
        wanted = places(load_timeline(recording), JUMPS, SEED)
    expected = run(forward(cell, wanted))
    reached = [place for place in wanted if place in expected]
    # A Linux for riscv64 idles by wfi, just behind which nothing can stand.
    assert len(reached) == JUMPS or "riscv64-linux" in str(cell)
    again = run(forward(cell, reached[:12]))
    assert again.items() <= expected.items()
    outcome = run(jump(replay, reached, expected))
    assert outcome.exact == len(reached), outcome


def test_steps_and_breakpoints_go_back_as_they_came(stretch: Oracle, replay: Replay, run: Run[Any]) -> None:
    async def check() -> None:
        last = len(stretch) - 1
        await is_at(replay, stretch, last, await replay.seek(stretch[last].position))
        interrupted = next(index for index in range(last) if not stretch.begins(index))
        for index in (interrupted + 2, interrupted + 1, interrupted, interrupted - 1, 0):
            await is_at(replay, stretch, index, await replay.seek(stretch[index].position))
        await is_at(replay, stretch, last, await replay.stepi(last))
        for index in range(last - 1, last - 4, -1):
            await is_at(replay, stretch, index, await replay.reverse_stepi())
        replay.points.add_breakpoint(stretch[interrupted + 1].pc)
        hits = stretch.hits(stretch[interrupted + 1].pc)
        for hit in reversed([hit for hit in hits if hit < last - 3]):
            stop = await replay.reverse_cont()
            await is_at(replay, stretch, hit, stop)
            assert stop.reason is StopReason.BREAKPOINT

    run(check())


def test_looking_at_a_device_changes_nothing(cell: Path, stretch: Oracle, replay: Replay, run: Run[Any]) -> None:
    """A read of its registers does, as by the guest itself: aarch64's takes the interrupt for acknowledged."""
    device = next(address for name, address in DEVICES.items() if name in cell.name)
    interrupted = next(index for index in range(len(stretch)) if not stretch.begins(index))

    async def read(step: Callable[[int, int], Awaitable[bytes]]) -> bool:
        try:
            return len(await step(device, 4)) == 4
        except RspError:
            return False  # not mapped there

    async def check() -> None:
        read_at_all = 0
        window = Window(replay)
        for step in (replay.read_physical, replay.read_memory, window.read_memory):
            await is_at(replay, stretch, interrupted, await replay.seek(stretch[interrupted].position))
            read_at_all += await read(step)
            for index in (interrupted + 1, interrupted + 2, interrupted + 30):
                await is_at(replay, stretch, index, await replay.stepi(index - stretch.index(replay.position)))
        assert read_at_all >= 1
        # Nor does going back, which reads ahead what was asked for last.
        await replay.seek(stretch[interrupted + 1].position)
        await read(window.read_memory)
        for index in (interrupted, interrupted - 1, interrupted - 2):
            await window.step_back()
            await is_at(replay, stretch, index)
            assert await window.register_packet() == stretch[index].packet

    run(check())


def test_snapshots_are_kept_only_where_they_are_sound(replay: Replay, run: Run[Any]) -> None:
    manifest = replay.recording.manifest
    hazard = snapshot_hazard(manifest.invocation.architecture, manifest.qemu_version, manifest.invocation.board)
    kept = [snapshot for snapshot in replay.timeline.snapshots if snapshot.kind is not SnapshotKind.INITIAL]
    assert bool(kept) == (hazard is None)
    if hazard:
        with pytest.raises(UsageError, match=hazard.reason):
            run(replay.snapshot())
