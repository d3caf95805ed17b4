"""The server, spoken to by raw packets and by a real GDB."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rrdbg.errors import QemuDied
from rrdbg.model.position import Position
from tests.server.conftest import connect, move, serving


async def test_the_ends_are_told(workload: Path, tmp_path: Path) -> None:
    """Native defect 3: a bc without a hit ends as a plain T05."""
    async with serving(workload, tmp_path) as (replay, address):
        client = await connect(address)
        assert await move(client, "bs") == b"T05thread:01;replaylog:begin;"
        assert await move(client, "c") == b"T05thread:01;replaylog:end;"
        assert replay.position == replay.timeline.end
        assert await move(client, "bc") == b"T05thread:01;replaylog:begin;"
        await client.close()


async def test_a_breakpoint_one_instruction_back_is_found(workload: Path, tmp_path: Path) -> None:
    """Native defect 1: bc misses a breakpoint at icount N-1."""
    async with serving(workload, tmp_path) as (replay, address):
        await replay.seek(Position(7_000_000))
        place = await replay.pc()
        await replay.seek(Position(7_000_001))
        client = await connect(address)
        await client.exchange("qSupported:swbreak+;hwbreak+")
        assert await client.exchange(f"Z0,{place:x},1") == b"OK"
        assert await move(client, "bc") == b"T05thread:01;swbreak:;"
        assert replay.position == Position(7_000_000)
        await client.close()


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


async def gdb(elf: Path, address: str, *commands: str) -> str:
    words = [word for command in commands for word in ("-ex", command)]
    process = await asyncio.create_subprocess_exec(
        "gdb", "-q", "-nx", "-batch", str(elf), "-ex", f"target remote {address}", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    return (await process.communicate())[0].decode()


async def test_gdb_shows_a_watchpoint_in_reverse(workload: Path, tmp_path: Path, workload_guest: Path) -> None:
    """Native defect 4: a reverse watchpoint is shown as a SIGTRAP."""
    async with serving(workload, tmp_path) as (_, address):
        text = await gdb(
            workload_guest, address, "break do_round if counter == 1500", "continue", "print counter",
            "delete", "watch counter", "reverse-continue", "print counter",
        )  # fmt: skip
    assert "$1 = 1500" in text
    assert "Hardware watchpoint 2: counter\n\nOld value = 1500\nNew value = 1499\n" in text
    assert "$2 = 1499" in text
    assert "SIGTRAP" not in text


async def test_gdb_says_that_the_history_ends(workload: Path, tmp_path: Path, workload_guest: Path) -> None:
    async with serving(workload, tmp_path) as (_, address):
        text = await gdb(workload_guest, address, "stepi 5", "reverse-continue")
    assert "No more reverse-execution history." in text
