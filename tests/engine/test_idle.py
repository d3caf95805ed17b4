"""What is done while nothing moves: snapshots are proved and laid more densely, and nobody ever waits for that."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots import gaps
from rrdbg.engine.snapshots.gaps import Gaps
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.travel import idle
from rrdbg.model.travel.process import Role
from tests.engine.conftest import Run
from tests.oracle import Oracle

AIM = 0.01
"""Seconds; all of the recording is replayed in about ten times as long."""


@pytest.fixture
def thoughtful(workload: Path, tmp_path: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A replay of a copy of workload's recording, whose user thinks as soon as nothing moves."""
    monkeypatch.setattr(gaps, "AIM_SECONDS", AIM)
    monkeypatch.setattr(idle, "THINKING_SECONDS", 0.0)
    monkeypatch.setattr(gaps, "MEMORY_SHARE", 1.0)
    copy = Path(shutil.copytree(workload, tmp_path / "workload"))
    opened = run(Replay.open(copy, spares=1))
    yield opened
    run(opened.close())


def test_gaps_are_filled_and_what_fills_them_is_proved(run: Run[Any], thoughtful: Replay, busy: Oracle) -> None:
    async def check() -> None:
        replay, chosen = thoughtful, random.Random(5)
        await replay.seek(replay.timeline.end)
        await replay.snapshot("mine")  # so that there is one whose pages the others can share
        few = len(replay.timeline.snapshots)
        await replay.at_rest()
        snapshots = replay.timeline.snapshots
        assert len(snapshots) >= few + 3
        assert all(known.sound for known in snapshots[1:])
        costs = [replay.timeline.cost.seconds(low.icount, high.icount) for low, high in pairwise(snapshots)]
        # One piece too long, and one more that could not be saved at its end.
        assert max(costs) < 5 * AIM
        assert not [known for known in replay.processes if known.role in (Role.SAVING, Role.PROVING)]
        for _ in range(8):
            moment = busy[chosen.randrange(len(busy))]
            await replay.seek(moment.position)
            assert await (await replay.machine()).register_packet() == moment.packet

    run(check())


def test_who_moves_ends_it(run: Run[Any], thoughtful: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        replay, filling, ended = thoughtful, asyncio.Event(), asyncio.Event()
        advance, fill_next = Keeper.advance, Gaps.fill_next

        async def told(*words: Any, **named: Any) -> None:
            filling.set()
            await advance(*words, **named)
            await asyncio.get_running_loop().create_future()  # however quick that was

        async def for_ever(*words: Any) -> bool:
            with monkeypatch.context() as patch:
                patch.setattr(Keeper, "advance", told)
                try:
                    await fill_next(*words)
                    return True
                except asyncio.CancelledError:
                    ended.set()
                    raise

        monkeypatch.setattr(Gaps, "fill_next", for_ever)
        await replay.seek(replay.timeline.end)
        await replay.snapshot("mine")
        await asyncio.wait_for(filling.wait(), 60)
        await replay.seek(busy[1000].position)
        assert ended.is_set()
        assert await (await replay.machine()).register_packet() == busy[1000].packet
        assert not [known for known in replay.processes if known.role in (Role.SAVING, Role.PROVING)]

    run(check())


def test_a_script_is_left_alone(run: Run[Any], replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        monkeypatch.setattr(idle, "THINKING_SECONDS", 0.0)
        await replay.seek(replay.timeline.end)
        await replay.at_rest()
        assert [known.role for known in replay.processes] == [Role.CURSOR]

    run(check())
