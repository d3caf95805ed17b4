"""A recording with a bit of everything on its timeline."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from rrdbg.engine.queries.tracks import timeline_tracks
from rrdbg.engine.replay import Replay
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.tracks import TimelineTracks
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.guests.build import symbol


@pytest.fixture(scope="session")
def travelled(tmp_path_factory: pytest.TempPathFactory, workload: Path, workload_guest: Path) -> Path:
    """A recording with a named snapshot, a bookmark, and two stops; not to be changed."""
    copy = Path(shutil.copytree(workload, tmp_path_factory.mktemp("timeline") / "travelled"))

    async def travel() -> None:
        async with await Replay.open(copy) as replay:
            await replay.seek(Position(replay.timeline.end.icount // 2))
            await replay.snapshot("half")
            replay.bookmark("middle", Bookmark(replay.position))
            replay.points.add_breakpoint(symbol(workload_guest, "wait_for_tick").address)
            await replay.cont()
            await replay.cont()
            await replay.reverse_cont()

    asyncio.run(travel())
    return copy


@pytest.fixture(scope="session")
def tracks(travelled: Path) -> TimelineTracks:
    recording = Recording.peek(travelled)
    return timeline_tracks(recording, load_timeline(recording))
