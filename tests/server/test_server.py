"""The server, spoken to by raw packets."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.errors import QemuDied, UsageError
from rrdbg.frontends.server.connection import Server
from rrdbg.frontends.server.packets import PACKET_SIZE
from rrdbg.links.rsp import RspClient, frame
from rrdbg.model.timeline.position import Position
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.recordings import fresh_copy
from tests.server.conftest import connect, connecting, debugging, move, serving
from tests.server.test_control import controlling


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


async def test_a_client_that_comes_back_at_once_is_let_in(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (_, address):
        for _ in range(20):
            async with connecting(address) as client:
                assert await client.exchange("qC") == b"QC01"
                assert await client.exchange("D") == b"OK"


async def test_over_tcp(workload: Path, tmp_path: Path) -> None:
    async with await Replay.open(workload) as replay:
        server = Server(replay)
        with pytest.raises(UsageError, match="no place to listen at"):
            await server.listen("0.0.0.0:1234")
        await server.listen("localhost:0")
        host, _, port = server.address.partition(":")
        client = RspClient(*await asyncio.open_connection(host, int(port)))
        assert await move(client, "s") == b"T05thread:01;"
        await client.close()
        await server.close()


@pytest.mark.parametrize("packet", [b"c", b"bc", b"vCont;c:1"])
async def test_a_ctrl_c_that_comes_together_with_a_packet_is_not_lost(
    workload: Path, workload_guest: Path, tmp_path: Path, packet: bytes
) -> None:
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        await replay.seek(Position(7_000_000))
        place = symbol(workload_guest, "do_round").address
        # Never true, so that the movement lasts.
        assert await client.exchange(f"Z0,{place:x},1;X3,220027") == b"OK"
        client._writer.write(frame(packet) + b"\x03")
        assert await client._packet() == b"T02thread:01;"
        assert replay.position == Position(7_000_000)


async def test_physical_memory(workload: Path, tmp_path: Path, workload_guest: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        await replay.seek(Position(7_000_000))
        place = symbol(workload_guest, "counter").address
        virtual = await client.exchange(f"m{place:x},8")
        assert await client.exchange("qqemu.PhyMemMode") == b"0"
        assert await client.exchange("Qqemu.PhyMemMode:1") == b"OK"
        assert await client.exchange("qqemu.PhyMemMode") == b"1"
        for kind in "34":
            refused = await client.exchange(f"Z{kind},104000,8")
            assert refused.startswith(b"E01"), "reads of physical memory are not found"
        assert await client.exchange("Z2,104ffc,8") == b"E01", "it is not all in one page"
        assert await client.exchange("Z0,104000,1") == b"OK"
        assert await client.exchange("z0,104000,1") == b"OK"
        # The guest maps its memory where it is.
        assert await client.exchange(f"m{place:x},8") == virtual
        assert await client.exchange("Qqemu.PhyMemMode:0") == b"OK"
        assert await client.exchange("mffff800000000000,8") == b"E14"


async def test_monitor_breakpoints_stop_gdb_and_say_so(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        place = symbol(workload_guest, "do_round").address
        await debugger.gdb.console(f"monitor break *{place:#x}")
        answer = await debugger.gdb.execute('-interpreter-exec console "continue"')
        assert f"rrdbg: breakpoint 1 at {place:#x}" in answer.text
        assert await debugger.number("$pc") == place


async def test_no_bytes_can_break_it(workload: Path, tmp_path: Path) -> None:
    """Noise, packets cut short, too long, with mad arguments: then the next client is served as ever."""
    chance = random.Random(3)
    names = (b"m", b"x", b"p", b"g", b"Z0,", b"Z2,", b"z1,", b"vCont;", b"qXfer:features:read:", b"qRcmd,", b"H", b"T",
             b"qSupported:", b"Qqemu.PhyMemMode:", b"P", b"M", b"X", b"D", b"?", b"bs", b"s")  # fmt: skip
    alphabet = b"0123456789abcdef,;:=-+#$}*\x03\x00\xff"
    async with serving(workload, tmp_path) as (replay, address):
        for _ in range(150):
            tail = bytes(chance.choice(alphabet) for _ in range(chance.randrange(40)))
            payload = chance.choice(names) + tail
            data = chance.choice((tail, frame(payload), b"$" + payload, frame(payload)[:-1], frame(payload) * 3))
            reader, writer = await asyncio.open_unix_connection(address)
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(30):
                await reader.read()
            writer.close()
            await writer.wait_closed()
        async with connecting(address) as client:
            assert await client.exchange(b"m0," + b"0" * PACKET_SIZE) == b"E01"
            assert await client.exchange("qC") == b"QC01"
            await client.monitor("seek 5000")
            assert replay.position == Position(5000)


async def test_a_qemu_that_dies_is_replaced_unnoticed(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        await replay.seek(Position(7_000_000))
        for movement in ("s", "bs", "bs", "s"):
            registers = await client.exchange("g")
            victim = await replay.machine()
            await victim.process.kill()
            assert await client.exchange("g") == registers
            assert (await replay.machine()).process.pid != victim.process.pid
            await (await replay.machine()).process.kill()
            assert await move(client, movement) == b"T05thread:01;"
        assert replay.position == Position(7_000_000)
        assert await client.exchange("vKill;1") == b"OK"


async def test_s8_nobody_else_connects_whatever_the_umask(workload: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with await Replay.open(Path(shutil.copytree(workload, tmp_path / "copy"))) as replay:
            server = Server(replay)
            await server.listen(f"unix:{tmp_path / 'socket'}")
            assert (tmp_path / "socket").stat().st_mode & 0o777 == 0o600
            await server.close()
    finally:
        os.umask(before)


async def test_several_clients_have_a_cursor_each(workload: Path, busy: Oracle, tmp_path: Path) -> None:
    copy = fresh_copy(workload, tmp_path / "served")
    async with await Replay.open(copy) as replay:
        server = Server(replay, another=lambda: Replay.open(copy))
        await server.listen(f"unix:{tmp_path}/socket")
        try:
            async with connecting(server.address) as first, connecting(server.address) as second:
                for client, place in ((first, 100), (second, 200), (first, 300)):
                    await client.monitor(f"seek {busy[place].position}")
                    assert await client.exchange(b"g") == busy[place].packet
                assert await second.exchange(b"g") == busy[200].packet
                assert (await move(second, "bs")).startswith(b"T05")
                assert await second.exchange(b"g") == busy[199].packet
                assert await first.exchange(b"g") == busy[300].packet
                assert await first.exchange(b"qRrdbg.control") == b"1"
                assert await second.exchange(b"qRrdbg.control") == b"2"
                async with controlling(server.address, 2) as talk:
                    assert (await talk.ask(run=f"seek {busy[150].position}"))[1]["changed"]
                    assert await second.exchange(b"g") == busy[150].packet
                    assert await first.exchange(b"g") == busy[300].packet
                    assert (await talk.ask(run="bookmark here"))[1]["bookmarks"] == ["here"]
                assert (await first.monitor("seek @here")).startswith(str(busy[150].position))
            reader, writer = await asyncio.open_unix_connection(server.address)
            writer.write(b"rrdbg control 1 2\n")
            assert b"No client has that number" in await reader.read(), "it has left"
            writer.close()
            assert replay.position == busy[150].position
        finally:
            await server.close()
