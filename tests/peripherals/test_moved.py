"""A recording that lies elsewhere than where it was made: no path of it has got into the guest."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.indexer import index
from tests.conftest import record
from tests.peripherals.states import states

PERCENTS = (5, 20, 60, 100)


def test_a_multiboot_guest_is_the_same_after_a_move(workload_guest: Path, tmp_path: Path) -> None:
    made = record(workload_guest, tmp_path / "made")
    before = asyncio.run(states(made, PERCENTS))
    asyncio.run(index(made))
    moved = made.rename(tmp_path / "a longer name than it had")
    assert asyncio.run(states(moved, PERCENTS[::-1])) == before
    # And without any snapshot from before the move.
    (moved / "timeline.json").unlink()
    assert asyncio.run(states(moved, PERCENTS)) == before


def test_a_recording_from_before_this_replays_by_its_path(workload_guest: Path, tmp_path: Path) -> None:
    made = record(workload_guest, tmp_path / "made")
    manifest = json.loads((made / "manifest.json").read_text())
    (kernel,) = manifest["invocation"]["bundled"]
    assert kernel.pop("fd") == 3
    (made / "manifest.json").write_text(json.dumps(manifest))

    async def command() -> str:
        async with await Replay.open(made) as replay:
            return " ".join((await replay.machine()).process.command)  # type: ignore[attr-defined]

    assert f"-kernel {made}/files/kernel" in asyncio.run(command())
