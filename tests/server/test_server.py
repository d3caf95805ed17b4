"""The server, spoken to by raw packets and by a real GDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.errors import QemuDied
from rrdbg.model.position import Position
from tests.server.conftest import connect, move, serving


async def test_the_window_is_exact(workload: Path, tmp_path: Path) -> None:
    """Going back through the window, registers and stack are those of the positions, as a plain seek finds them."""
    async with serving(workload, tmp_path) as (replay, address):
        await replay.seek(Position(7_200_000))
        client = await connect(address)
        seen = []
        for _ in range(70):
            await move(client, "bs")
            packet = await client.exchange("g")
            stack = int.from_bytes(bytes.fromhex(packet[112:128].decode()), "little")
            seen.append((replay.position, packet, stack, await client.exchange(f"m{stack:x},40")))
        for position, packet, stack, memory in seen[::7]:
            await replay.seek(Position(0))
            await replay.seek(position)
            machine = await replay.machine()
            assert await machine.register_packet() == packet
            assert (await machine.read_memory(stack, 64)).hex().encode() == memory
        await client.close()


async def test_bad_packets_get_an_answer_and_a_second_client_is_sent_away(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address):
        await replay.seek(Position(1000))
        client = await connect(address)
        for packet, answer in {
            "Z9,1,1": "E01", "mxyz": "E01", "m1": "E01", "p999": "E01", "vMustReplyEmpty": "", "nonsense": "",
            "qXfer:features:read:no.xml:0,10": "E00", "Z0,10,1;X5,00": "E01", "c1000": "E01", "T7": "E01",
        }.items():  # fmt: skip
            assert await client.exchange(packet) == answer.encode(), packet
        assert (await client.exchange("P0=00")).startswith(b"E.The guest is a recording")
        second = await connect(address)
        with pytest.raises(QemuDied):
            await second.exchange("g")
        await second.close()
        await client.close()


async def test_a_client_that_comes_back_finds_the_position(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address):
        client = await connect(address)
        assert "5,000" in await client.monitor("seek 5000")
        assert await client.exchange("D") == b"OK"
        await client.close()
        again = await connect(address)
        assert (await again.monitor("when")).startswith("5,000 ")
        assert replay.position == Position(5000)
        await again.close()
