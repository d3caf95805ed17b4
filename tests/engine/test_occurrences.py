"""What the accelerator is used for gives the same answers as without it, whatever it says."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrdbg.engine.queries import occurrences
from rrdbg.engine.queries.occurrences import Occurrences, count, nth
from rrdbg.engine.replay import Replay
from rrdbg.engine.search import backward as search
from rrdbg.engine.search.accelerator import Accelerator
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import Interrupted, LinkError
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.position import START, Position
from tests.engine.conftest import Run
from tests.engine.test_oracle import EXAMPLES, indices, is_at, thorough
from tests.oracle import Oracle

few = settings(thorough, max_examples=max(EXAMPLES // 3, 5))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the accelerator though there is little to be won."""
    monkeypatch.setattr(search, "MANY", 2)
    monkeypatch.setattr(search, "SHORT", 10)
    monkeypatch.setattr(search, "_START_SECONDS", 0.0)
    monkeypatch.setattr(search, "_SLOWER", 0.0)
    monkeypatch.setattr(occurrences, "FEW", 1)


@pytest.fixture
def hot(busy: Oracle) -> int:
    """The instruction that is executed most often in that stretch."""
    return max((entry.pc for entry in busy.entries), key=lambda pc: len(busy.hits(pc)))


@few
@given(start=indices, picks=st.lists(indices, min_size=1, max_size=2))
@pytest.mark.usefixtures("eager")
def test_an_accelerated_search_finds_the_same(
    run: Run[Any], replay: Replay, busy: Oracle, start: int, picks: list[int]
) -> None:
    async def check() -> None:
        index = start % len(busy)
        addresses = {busy[pick % len(busy)].pc for pick in picks}
        replay.points.delete()
        for address in addresses:
            replay.points.add_breakpoint(address)
        await replay.seek(busy[index].position)
        expected = [hit for hit in busy.hits(*addresses) if hit < index]
        if expected:
            await is_at(replay, busy, expected[-1], await replay.reverse_cont())

    run(check())


@pytest.mark.usefixtures("eager")
def test_the_last_change_of_a_variable(run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]) -> None:
    async def check() -> None:
        counter = next(iter(watched))
        replay.points.add_watchpoint(counter, 8)
        await replay.seek(busy[len(busy) - 1].position)
        for index in reversed(busy.changes(counter)):
            await is_at(replay, busy, index, await replay.reverse_cont())
        assert (await replay.accelerator.info()).passes

    run(check())


@few
@given(start=indices, pick=indices, wrong=st.integers(-3000, 3000))
@pytest.mark.usefixtures("eager")
def test_a_wrong_guess_leads_to_no_wrong_answer(
    run: Run[Any], replay: Replay, busy: Oracle, start: int, pick: int, wrong: int
) -> None:
    async def guess(replay: Any, timeline: Any, points: Any, low: int, end: Position, on_progress: Any) -> int | None:
        guessed: int = timeline.deliveries.plain_at_or_before(end.icount + wrong)
        return guessed if low < guessed < end.icount else None

    async def check() -> None:
        index, address = start % len(busy), busy[pick % len(busy)].pc
        replay.points.delete()
        replay.points.add_breakpoint(address)
        await replay.seek(busy[index].position)
        expected = [hit for hit in busy.hits(address) if hit < index]
        if expected:
            await is_at(replay, busy, expected[-1], await replay.reverse_cont())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Accelerator, "near_last", guess)
        run(check())


@pytest.fixture(params=[True, False], ids=["accelerated", "not accelerated"])
def either(request: pytest.FixtureRequest, replay: Replay, eager: None) -> bool:
    accelerated: bool = request.param
    if not accelerated:
        replay.accelerator.give_up(LinkError("this is a test without it"))
    return accelerated


def test_counts_and_numbers(run: Run[Any], replay: Replay, busy: Oracle, hot: int, *, either: bool) -> None:
    hits = busy.hits(hot)
    start, end = busy[0].position, busy[len(busy) - 1].position
    points = [Breakpoint(-1, hot)]

    async def check() -> None:
        assert await count(replay, points, start, end) == Occurrences(len(hits), accelerated=either)
        for number in (2, len(hits) // 2, len(hits)):
            found = await nth(replay, points, number, start, end)
            assert found.hit is not None
            assert (found.count, found.hit.position) == (number, busy[hits[number - 1]].position)
            assert found.accelerated is either
        beyond = await nth(replay, points, len(hits) + 1, start, end)
        assert (beyond.count, beyond.hit) == (len(hits), None)

    run(check())


@pytest.mark.usefixtures("eager")
def test_a_number_is_counted_over_snapshots(run: Run[Any], replay: Replay, busy: Oracle, hot: int) -> None:
    hits = busy.hits(hot)
    plain = [i for i in range(len(busy)) if busy.timeline.deliveries.is_plain(busy[i].position.icount)]

    async def check() -> None:
        for place in (plain[len(plain) // 3], plain[len(plain) // 2]):
            await replay.seek(busy[place].position)
            await replay.snapshot()
        found = await nth(replay, [Breakpoint(-1, hot)], len(hits) - 1, busy[0].position, replay.timeline.end)
        assert found.hit is not None
        assert found.hit.position == busy[hits[-2]].position

    run(check())


@pytest.mark.usefixtures("eager")
def test_goes_on_without_a_plugin_that_fails(
    run: Run[Any], replay: Replay, busy: Oracle, hot: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive = Survey.arrive

    async def dies(survey: Survey, *arguments: Any) -> None:
        os.kill(survey.walker.machine.process.pid, signal.SIGKILL)
        await arrive(survey, *arguments)

    monkeypatch.setattr(Survey, "arrive", dies)
    start, end = busy[0].position, busy[len(busy) - 1].position

    async def check() -> None:
        assert await count(replay, [Breakpoint(-1, hot)], start, end) == Occurrences(len(busy.hits(hot)))
        info = await replay.accelerator.info()
        assert not info.usable
        assert "it has failed: QEMU" in info.text

    run(check())


@pytest.fixture
def linux_replay(linux_recording: Path, tmp_path: Path, run: Run[Any]) -> Iterator[Replay]:
    opened = run(Replay.open(Path(shutil.copytree(linux_recording, tmp_path / "linux"))))
    yield opened
    run(opened.close())


@pytest.mark.linux
@pytest.mark.usefixtures("eager")
def test_linux(run: Run[Any], linux_replay: Replay) -> None:
    """Page faults: the handler's entry is hit once for each, and each is counted as one instruction too many."""
    deliveries = linux_replay.timeline.deliveries
    exceptions = [i for i in deliveries.icounts if Delivery.EXCEPTION in deliveries.at(i)][-60:]
    start, end = (Position(deliveries.plain_at_or_before(place)) for place in (exceptions[0], exceptions[-1] + 100))

    async def check() -> None:
        replay = linux_replay
        await replay.seek(Position(exceptions[10], 1))
        points = [Breakpoint(-1, await replay.pc())]
        expected = [hit async for hit in replay.scan(points, start, end)]
        assert len(expected) > 20
        assert await count(replay, points, start, end) == Occurrences(len(expected), accelerated=True)
        found = await nth(replay, points, len(expected) - 3, start, end)
        assert found.accelerated
        assert found.hit == expected[-4]
        last = await replay.last_before(end, points)
        assert last is not None
        assert last[1].position == expected[-1].position
        survey = await replay.accelerator.survey(replay.timeline, start.icount, points)
        assert survey is not None
        try:
            await survey.arrive(end)
            places = [survey.place(sighting.executed) for sighting in survey.tally(len(expected)).latest]
        finally:
            await survey.close()
        icounts = [hit.position.icount for hit in expected]
        assert all(place.low <= icount <= place.high for place, icount in zip(places, icounts, strict=True))
        plugin = replay.accelerator._plugin
        if plugin and plugin.hears_exceptions:
            assert [place.high for place in places] == icounts

    run(check())


def test_is_interrupted_as_other_work_is(
    run: Run[Any], replay: Replay, busy: Oracle, hot: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive, under_way = Survey.arrive, asyncio.Event()

    async def noticed(survey: Survey, *arguments: Any) -> None:
        under_way.set()
        await arrive(survey, *arguments)

    monkeypatch.setattr(Survey, "arrive", noticed)

    async def check() -> None:
        here = await replay.seek(busy[100].position)
        work = asyncio.ensure_future(count(replay, [Breakpoint(-1, hot)], START, replay.timeline.end))
        await under_way.wait()
        work.cancel()
        with pytest.raises(Interrupted):
            await work
        assert replay.position == here.position
        assert (await replay.accelerator.info()).usable

    run(check())
