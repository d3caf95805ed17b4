"""Several clients with one cursor: ``rrdbg serve --shared`` (C3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.frontends.server.connection import Server
from rrdbg.links.rsp import RspClient, frame
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.recordings import fresh_copy
from tests.server.conftest import connecting, move
from tests.server.test_control import begun, controlling

MOVED = "another client has moved the cursor"
NEVER = "X3,220027"
"""A condition that is never true, so that a movement lasts."""


@asynccontextmanager
async def meeting(recording: Path, folder: Path) -> AsyncIterator[tuple[Replay, str]]:
    """A copy of ``recording``, served to clients that share a cursor."""
    async with await Replay.open(fresh_copy(recording, folder / "served")) as replay:
        server = Server(replay, shared=True)
        await server.listen(f"unix:{folder}/socket")
        try:
            yield replay, server.address
        finally:
            await server.close()


async def said_and_stopped(client: RspClient, packet: str) -> tuple[str, bytes]:
    """Send a packet that moves the guest: what is said, and the stop reply."""
    text, answer = "", await move(client, packet)
    while answer[:1] == b"O":
        text += bytes.fromhex(answer[1:].decode()).decode()
        answer = await client._packet()
    return text, answer


async def test_where_one_goes_the_others_follow(workload: Path, busy: Oracle, tmp_path: Path) -> None:
    async with (
        meeting(workload, tmp_path) as (replay, address),
        connecting(address) as first,
        connecting(address) as second,
    ):
        assert await second.exchange("?") == b"T05thread:01;"
        await first.monitor(f"seek {busy[100].position}")
        # The second one's GDB believes itself at the start: what it wants from there is not done from here.
        text, stop = await said_and_stopped(second, "bs")
        assert (MOVED in text, stop) == (True, b"T00thread:01;")
        assert replay.position == busy[100].position
        assert await second.exchange("g") == busy[100].packet
        assert await said_and_stopped(second, "bs") == ("", b"T05thread:01;")
        # Now it is the first one that has not seen it.
        text, stop = await said_and_stopped(first, "s")
        assert (f"to {busy[99].position};" in text, stop) == (True, b"T00thread:01;")
        assert await first.exchange("g") == busy[99].packet
        assert await said_and_stopped(first, "s") == ("", b"T05thread:01;")
        assert await second.exchange("g") == busy[100].packet, "who reads again sees the same guest"
        # Breakpoints are each one's own.
        place = busy[120].pc
        assert await first.exchange(f"Z0,{place:x},1") == b"OK"
        at = next(entry.position for entry in busy.entries[101:] if entry.pc == place and entry.position.phase == 0)
        assert (await said_and_stopped(first, "c"))[1].startswith(b"T05")
        assert replay.position == at
        assert MOVED in (await said_and_stopped(second, "s"))[0]
        await first.monitor("what-if on")
        text, stop = await said_and_stopped(second, "s")
        assert ("A what-if has been started" in text, stop) == (True, b"T00thread:01;")
        assert "A what-if has been started" in await second.monitor("what-if on")
        await first.monitor("what-if off")
        assert await said_and_stopped(second, "s") == ("", b"T05thread:01;")


async def test_whoever_waits_may_stop_the_guest(
    workload: Path, workload_guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrdbg.frontends.server.seat._PATIENCE_SECONDS", 0.05)
    place = symbol(workload_guest, "do_round").address
    async with (
        meeting(workload, tmp_path) as (replay, address),
        connecting(address) as first,
        connecting(address) as second,
    ):
        assert await first.exchange(f"Z0,{place:x},1;{NEVER}") == b"OK"
        first.resume("c")
        await begun(replay)
        assert await second.exchange("qC") == b"QC01", "what is not about the guest is answered"
        assert await second.exchange("g") == b"E01"
        assert (await second.exchange("m1000,8")).startswith(b"E.Another client moves the guest")
        async with connecting(address) as third:
            third._writer.write(frame(b"c"))
            assert await third._reader.readexactly(1) == b"+", "it waits, and leaves"
        for _ in range(3):
            assert await second.exchange("qC") == b"QC01"
        assert replay.moving, "who leaves while he waits has stopped nothing"
        second._writer.write(frame(b"c"))
        second._writer.write(b"\x03")
        assert await first._packet() == b"T02thread:01;"
        assert await second._packet() == b"T02thread:01;"
        assert not replay.moving


async def test_a_channel_tells_what_others_do(workload: Path, busy: Oracle, tmp_path: Path) -> None:
    async with (
        meeting(workload, tmp_path) as (_, address),
        connecting(address) as first,
        connecting(address) as second,
    ):
        numbers = [int(await client.exchange("qRrdbg.control")) for client in (first, second)]
        assert numbers == [1, 2]
        async with controlling(address) as one, controlling(address, 2) as two:
            await two.ask(watch=True)
            _, answer = await one.ask(run=f"seek {busy[50].position}")
            heard = await two.hear()
            assert (heard["event"], heard["position"]) == ("changed", answer["position"])
            assert (await move(first, "s")).startswith(b"T05")
            assert (await two.hear())["position"]["text"] == str(busy[51].position)
            await one.ask(run="bookmark here")
            assert (await two.hear())["bookmarks"] == ["here"]
            # What it does itself its answer tells.
            _, answer = await two.ask(run=f"seek {busy[60].position}")
            assert answer["position"]["text"] == str(busy[60].position)
            _, answer = await two.ask(where=True)
            assert answer["position"]["text"] == str(busy[60].position)
            # Its own client has seen nothing of that, unless it looks again, which is what the channel is for.
            assert (await said_and_stopped(second, "s"))[1] == b"T05thread:01;"
            assert (await two.hear())["position"]["text"] == str(busy[61].position)
            assert MOVED in (await said_and_stopped(first, "s"))[0]
