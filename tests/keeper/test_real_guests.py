"""Guests that nobody here wrote, each in a short form: recorded, opened at the end, and jumped about in.

What they cost is measured by ``python -m benchmarks.pace``; here they must be right, and stay within bounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.model.travel.spacing import MOST_BYTES
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.guests.real import REAL_GUESTS, record
from tests.keeper.conftest import Run
from tests.matrix.jumps import forward, is_exact, places

SHORT = {"debian": 5.0, "ovmf": 1.0, "memtest": 1.0, "idle": 2.0, "u-boot": 2.0}
"""Seconds that are recorded: long enough for each to come to where it waits or spins, and for Debian to systemd."""

JUMPS = 4


# Debian's disk is made by debootstrap, which takes root, the network and a minute or more. U-Boot takes 12 s here.
_MADE = {"debian": [pytest.mark.matrix, pytest.mark.timeout(3600)], "u-boot": [pytest.mark.matrix]}


@pytest.mark.parametrize("name", [pytest.param(name, marks=_MADE.get(name, ())) for name in SHORT])
def test_is_opened_at_its_end_and_jumped_about_in(run: Run[Any], tmp_path: Path, name: str) -> None:
    async def check() -> None:
        recording = tmp_path / name
        await record(REAL_GUESTS[name](), recording, SHORT[name])
        with Recording.open(recording) as opened:
            timeline = load_timeline(opened)
            assert opened.manifest.ended.endswith("s had passed")
        wanted = places(timeline, JUMPS, seed=1)
        expected = await forward(recording, wanted)
        assert len(expected) >= JUMPS
        async with await Replay.open(recording) as replay:
            assert await is_exact(replay, timeline.end, expected)
            assert sum(snapshot.size for snapshot in replay.timeline.snapshots) < MOST_BYTES
            assert [place for place in wanted if not await is_exact(replay, place, expected)] == []

    run(check())
