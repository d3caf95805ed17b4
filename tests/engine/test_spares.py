"""Spare machines: where they wait, that they lead where any other leads, and that they go when they must."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.engine.travel import spares
from rrdbg.errors import Interrupted
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.travel.process import Role
from tests.engine.conftest import Run
from tests.oracle import Oracle
from tests.processes import qemus_in


@pytest.fixture
def provided(workload: Path, tmp_path: Path, run: Run[Any]) -> Iterator[Replay]:
    """A replay of a copy of workload's recording, with three spares."""
    copy = Path(shutil.copytree(workload, tmp_path / "workload"))
    opened = run(Replay.open(copy, spares=3))
    yield opened
    run(opened.close())


def pids(replay: Replay, role: Role) -> set[int]:
    return {known.pid for known in replay.processes if known.role is role}


def places(replay: Replay, role: Role) -> list[int]:
    return sorted(known.position.icount for known in replay.processes if known.position and known.role is role)


def test_spares_wait_before_the_cursor_and_are_used(run: Run[Any], provided: Replay, busy: Oracle) -> None:
    async def check() -> None:
        replay = provided
        await replay.seek(busy[100].position)
        before = (await replay.snapshot()).icount
        await replay.seek(busy[2900].position)
        await replay.spares_ready()
        assert places(replay, Role.SPARE)[1:] == [before, before]
        assert places(replay, Role.CURSOR) == [busy[2900].position.icount]
        assert all(known.memory > 1 << 20 for known in replay.processes)
        assert all(known.position is None for known in replay.processes if known.role is Role.BLANK)
        waiting = pids(replay, Role.SPARE)
        replay.points.add_breakpoint(busy[1500].pc)
        await replay.reverse_cont()
        assert replay.position == busy[max(hit for hit in busy.hits(busy[1500].pc) if hit < 2900)].position
        assert pids(replay, Role.CURSOR) < waiting, "the cursor's machine was a spare before"
        await replay.spares_ready()
        assert len(pids(replay, Role.SPARE)) == 3

    run(check())


def test_a_spare_runs_to_a_little_before_the_cursor(run: Run[Any], provided: Replay, busy: Oracle) -> None:
    async def check() -> None:
        end = provided.timeline.end
        await provided.seek(Position(provided.timeline.landing_before(end)))
        await provided.spares_ready()
        [near] = [icount for icount in places(provided, Role.SPARE) if not provided.timeline.snapshot_at(icount)]
        assert 10_000 <= end.icount - near < 200_000

    run(check())


def test_movements_with_spares_lead_where_the_forward_run_leads(run: Run[Any], provided: Replay, busy: Oracle) -> None:
    async def check() -> None:
        replay, chosen = provided, random.Random(7)
        await replay.seek(busy[300].position)
        await replay.snapshot()
        for _ in range(4):
            index = chosen.randrange(350, len(busy) - 1)
            await replay.seek(busy[index].position)
            await replay.spares_ready()
            await replay.reverse_stepi()
            assert replay.position == busy[index - 1].position
            assert await (await replay.machine()).register_packet() == busy[index - 1].packet

    run(check())


def test_a_spare_of_a_dropped_snapshot_is_not_given_away(run: Run[Any], provided: Replay, busy: Oracle) -> None:
    async def check() -> None:
        replay = provided
        await replay.seek(busy[100].position)
        snapshot = await replay.snapshot()
        await replay.seek(busy[2000].position)
        await replay.spares_ready()
        old = {known.pid for known in replay.processes if known.position and known.position.icount == snapshot.icount}
        assert len(old) == 2
        replay._keeper.shelf.drop(snapshot)
        await replay.reverse_stepi()
        assert replay.position == busy[1999].position
        assert await (await replay.machine()).register_packet() == busy[1999].packet
        assert not pids(replay, Role.CURSOR) & old
        await replay.spares_ready()
        assert not pids(replay, Role.SPARE) & old
        assert snapshot.icount not in places(replay, Role.SPARE)

    run(check())


def test_a_spare_that_was_killed_is_not_missed(run: Run[Any], provided: Replay, busy: Oracle) -> None:
    async def check() -> None:
        await provided.seek(busy[2000].position)
        await provided.spares_ready()
        for pid in pids(provided, Role.SPARE):
            os.kill(pid, signal.SIGKILL)
        await provided.reverse_stepi()
        assert await (await provided.machine()).register_packet() == busy[1999].packet

    run(check())


def test_spares_keep_within_their_number_and_memory(
    run: Run[Any], provided: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        for index in (400, 1400, 2400):
            await provided.seek(busy[index].position)
            await provided.snapshot()
            await provided.spares_ready()
            assert len(pids(provided, Role.SPARE)) == 3
        monkeypatch.setattr(spares, "available", lambda: 100 << 20)
        await provided.seek(busy[1000].position)
        await provided.spares_ready()
        held = sum(known.memory for known in provided.processes if known.role is Role.SPARE)
        assert held <= provided.spare_limits.memory < 50 << 20

    run(check())


def test_none_are_started_between_movements_that_follow_at_once(run: Run[Any], provided: Replay, busy: Oracle) -> None:
    async def check() -> None:
        for index in (500, 300, 700):
            await provided.seek(busy[index].position)
            assert not pids(provided, Role.SPARE)

    run(check())


@pytest.mark.parametrize("moment", [0.22, 0.3])
def test_closing_ends_a_spare_that_is_being_made(run: Run[Any], workload: Path, tmp_path: Path, moment: float) -> None:
    async def check() -> None:
        copy = Path(shutil.copytree(workload, tmp_path / "workload"))
        async with await Replay.open(copy, spares=3) as replay:
            await replay.seek(Position(1_000_000))
            await asyncio.wait((asyncio.ensure_future(replay.spares_ready()),), timeout=moment)
        assert not qemus_in(copy)

    run(check())


def test_an_interrupted_movement_gives_up_the_spare_that_is_being_made(
    run: Run[Any], provided: Replay, busy: Oracle
) -> None:
    async def check() -> None:
        await provided.seek(busy[2000].position)
        await asyncio.wait((asyncio.ensure_future(provided.spares_ready()),), timeout=0.23)
        movement = asyncio.create_task(provided.stepi(10_000_000))
        await asyncio.sleep(0)
        assert provided.moving
        movement.cancel()
        with pytest.raises(Interrupted):
            await movement
        await provided.spares_ready()
        here = provided.position
        packet = await (await provided.machine()).register_packet()
        await provided.seek(START)
        await provided.seek(here)
        assert await (await provided.machine()).register_packet() == packet

    run(check())
