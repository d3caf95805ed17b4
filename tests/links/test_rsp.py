from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.errors import QemuDied
from rrdbg.links.rsp import RspClient, frame, monitor_packet
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline


class Stub:
    """The other side of a client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def heard(self, length: int) -> bytes:
        return await self.reader.readexactly(length)

    def say(self, *payloads: bytes) -> None:
        self.writer.write(b"+".join([b"", *map(frame, payloads)]))


@pytest.fixture
async def line() -> AsyncIterator[tuple[RspClient, Stub]]:
    ours, theirs = socket.socketpair()
    client = RspClient(*await asyncio.open_unix_connection(sock=ours))
    stub = Stub(*await asyncio.open_unix_connection(sock=theirs))
    yield client, stub
    await client.close()
    stub.writer.close()
    await stub.writer.wait_closed()


async def test_several_packets_go_out_at_once_and_are_acknowledged_with_the_next(line: tuple[RspClient, Stub]) -> None:
    client, stub = line
    asking = asyncio.create_task(client.exchange_all([b"g", monitor_packet("info replay"), b"m0,1"]))
    sent = frame(b"g") + frame(monitor_packet("info replay")) + frame(b"m0,1")
    assert await stub.heard(len(sent)) == sent
    stub.say(b"0011", b"O" + b"count ".hex().encode(), b"O" + b"= 7".hex().encode(), b"OK", b"ff")
    assert await asking == [b"0011", b"count = 7", b"ff"]
    client.resume("c")
    assert await stub.heard(6) == b"+" + frame(b"c")


async def test_a_stop_that_nobody_has_asked_for_is_no_answer(line: tuple[RspClient, Stub]) -> None:
    client, stub = line
    stub.say(b"T02thread:01;", b"0011", b"OK")
    assert await client.exchange_all([b"g", b"z0,0,1"]) == [b"0011", b"OK"]


async def test_a_wait_that_is_cancelled_loses_no_part_of_what_comes(line: tuple[RspClient, Stub]) -> None:
    client, stub = line
    reply = frame(b"T05thread:01;")
    waiting = asyncio.create_task(client.stopped())
    stub.writer.write(reply[:7])
    await asyncio.wait((waiting,), timeout=0.05)
    waiting.cancel()
    await asyncio.wait((waiting,))
    stub.writer.write(reply[7:])
    assert (await client.stopped()).signal == 5


async def test_a_damaged_packet_is_asked_for_again(line: tuple[RspClient, Stub]) -> None:
    client, stub = line
    asking = asyncio.create_task(client.exchange(b"g"))
    await stub.heard(len(frame(b"g")))
    stub.writer.write(b"$0012#00")
    assert await stub.heard(1) == b"-"
    stub.say(b"0011")
    assert await asking == b"0011"


async def test_a_connection_that_ends_is_told(line: tuple[RspClient, Stub]) -> None:
    client, stub = line
    stub.writer.close()
    with pytest.raises(QemuDied):
        await client.exchange(b"g")
    assert client.broken


async def test_what_was_asked_at_a_stop_comes_with_the_first_question_of_the_next(
    workload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[bytes]] = []
    exchange_all = RspClient.exchange_all

    async def noted(self: RspClient, payloads: list[bytes]) -> list[bytes]:
        asked.append(list(payloads))
        return await exchange_all(self, payloads)

    with Recording.open(workload) as recording:
        timeline = load_timeline(recording)
        launcher = await Launcher.create(recording)
        walker, _ = await launcher.start(timeline.snapshots[0], timeline)
        machine = walker.machine
        monkeypatch.setattr(RspClient, "exchange_all", noted)
        try:
            await machine.run_to(7_000_000)
            seen = [(await machine.icount(), await machine.pc(), await machine.read_memory(0x104000, 8))]
            asked.clear()
            await machine.run_to(7_000_100)
            seen.append((await machine.icount(), await machine.pc(), await machine.read_memory(0x104000, 8)))
            assert [len(packets) for packets in asked] == [1, 3], "the fence, and then all that was asked before"
            assert seen[0][:2] != seen[1][:2]
            assert await machine.exchange(b"g") == await machine.register_packet()
            assert len(asked) == 4
        finally:
            await machine.close()
            await launcher.close()
