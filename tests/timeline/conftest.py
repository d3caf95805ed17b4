"""A recording with a bit of everything on its timeline, and a browser."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from rrdbg.engine.queries.tracks import timeline_tracks
from rrdbg.engine.replay import Replay
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.tracks import TimelineTracks
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.guests.build import symbol

BROWSER_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,720",
)  # fmt: skip


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


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium with a profile of its own, and no way to fetch anything."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or pytest.fail("chromium is missing; run 'make setup'")
    for option in (*BROWSER_OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = shutil.which("chromedriver") or pytest.fail("chromedriver is missing; run 'make setup'")
    chrome = Chrome(options, ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()
