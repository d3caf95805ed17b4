"""What pages are told of other sessions that move quickly, without a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from rrdbg.frontends.web.others import REST_SECONDS, Others
from rrdbg.model.timeline.position import Position
from rrdbg.model.travel.client import Client
from rrdbg.store.clients import Presence

MOVES = 2_000


async def test_many_moves_are_told_in_few_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    told: list[list[Client]] = []
    came = asyncio.Event()

    def tell(clients: list[Client]) -> None:
        told.append(clients)
        came.set()

    async def until(holds: Callable[[list[Client]], bool]) -> None:
        async with asyncio.timeout(20):
            while not (told and holds(told[-1])):
                came.clear()
                await came.wait()

    mine, other = Presence(tmp_path / "recording", "web"), Presence(tmp_path / "recording", "replay")
    others = Others(mine, tell)
    others.watch()
    begun = asyncio.get_running_loop().time()
    for icount in range(1, MOVES + 1):
        other.moved(Position(icount))
        await asyncio.sleep(0)  # the loop's turn, as between two steps
    await until(lambda clients: [client.position for client in clients] == [Position(MOVES)])
    most = (asyncio.get_running_loop().time() - begun) / REST_SECONDS + 1
    assert len(told) <= most, "a page that is told of each would be let go"
    other.close()
    await until(lambda clients: not clients)
    others.close()
    mine.close()
    assert Others(None, tell).now == []
