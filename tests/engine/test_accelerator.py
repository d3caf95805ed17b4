"""The accelerator: its plugin sees what single-stepping shows, and where it cannot be had that is told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.engine.search.accelerator import SETTING
from rrdbg.engine.search.survey import Survey
from rrdbg.links.plugin import API_VERSIONS, build
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind, Watchpoint
from rrdbg.model.timeline.position import Position
from tests.guests.build import symbol
from tests.oracle import Oracle


@pytest.fixture
async def replay(workload: Path, tmp_path: Path) -> AsyncIterator[Replay]:
    """A replay of a copy, in the event loop of the test itself."""
    async with await Replay.open(shutil.copytree(workload, tmp_path / "workload")) as opened:
        yield opened


async def survey(replay: Replay, points: list[Point], start: Position) -> Survey:
    made = await replay.accelerator.survey(replay.timeline, replay.timeline.landing_before(start), points)
    assert made is not None, (await replay.accelerator.info()).text
    return made


@pytest.mark.parametrize("api", API_VERSIONS)
def test_source_has_no_warnings(api: int, tmp_path: Path) -> None:
    source = resources.files("rrdbg.links").joinpath("tally.c")
    flags = (
        "-std=gnu17",
        "-O2",
        "-fPIC",
        "-shared",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        f"-DAPI_VERSION={api}",
    )
    subprocess.run(["gcc", *flags, "-o", str(tmp_path / "tally.so"), str(source)], check=True)


@pytest.fixture(params=["busy", "exceptional", "idling"])
def oracle(request: pytest.FixtureRequest) -> Oracle:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Oracle)
    return found


async def test_sees_what_single_stepping_shows(replay: Replay, oracle: Oracle) -> None:
    addresses = sorted({entry.pc for entry in oracle.entries[:-1]})
    points: list[Point] = [Breakpoint(-1 - number, address) for number, address in enumerate(addresses)]
    start, end = oracle[0].position, oracle[len(oracle) - 1].position
    made = await survey(replay, points, start)
    try:
        await made.arrive(start)
        before = made.tally().hits
        await made.arrive(end)
        tally = made.tally()
    finally:
        await made.close()
    hits = [oracle[index] for index in oracle.hits(*addresses)]
    seen = tally.latest[before - tally.hits :]
    assert [sighting.pc for sighting in seen] == [entry.pc for entry in hits]
    for sighting, entry in zip(seen, hits, strict=True):
        place = made.place(sighting.executed)
        assert place.low <= entry.position.icount <= place.high
        if hears(replay):
            assert place.high == entry.position.icount


def hears(replay: Replay) -> bool:
    """Whether this QEMU tells its plugins of exceptions, so that they count as it does."""
    plugin = replay.accelerator._plugin
    return plugin is not None and plugin.hears_exceptions


async def test_sees_writes_and_reads(replay: Replay, busy: Oracle, workload_guest: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    start, end = busy[0].position, busy[len(busy) - 1].position
    for kind in WatchKind:
        made = await survey(replay, [Watchpoint(-1, counter, 8, kind)], start)
        try:
            await made.arrive(start)
            before = made.tally().hits
            await made.arrive(end)
            tally = made.tally()
        finally:
            await made.close()
        expected = [hit async for hit in replay.scan([Watchpoint(-1, counter, 8, kind)], start, end)]
        assert tally.hits - before == len(expected) > 0
        places = [made.place(sighting.executed) for sighting in tally.latest[before - tally.hits :]]
        assert all(place.low <= hit.position.icount <= place.high for place, hit in zip(places, expected, strict=True))


async def test_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = await build(1)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert await build(1) == first
    assert [path.name for path in first.parent.iterdir()] == [first.name]


async def test_tells_that_it_is_off(workload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "off")
    async with await Replay.open(workload) as replay:
        info = await replay.accelerator.info()
        assert not info.usable
        assert info.text == "The accelerator is not used: it is turned off by RRDBG_ACCELERATOR=off."
        assert await replay.accelerator.survey(replay.timeline, 0, []) is None


async def test_tells_that_there_is_no_compiler(replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    info = await replay.accelerator.info()
    assert not info.usable
    assert "There is no C compiler to build the plugin with; on Debian: apt-get install gcc libc6-dev." in info.text


async def test_tells_what_a_qemu_says_that_takes_no_plugins(replay: Replay, tmp_path: Path) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_text("#!/bin/sh\necho 'qemu: -plugin: invalid option' >&2\nexit 1\n")
    qemu.chmod(0o755)
    replay._launcher._ground.qemu = str(qemu)  # type: ignore[attr-defined]
    info = await replay.accelerator.info()
    assert info.text == f"The accelerator is not used: {qemu} does not load the plugin: qemu: -plugin: invalid option."
