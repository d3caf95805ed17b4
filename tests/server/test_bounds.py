"""S10: what a client may send, and how many there may be."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path

import pytest
from hypothesis import strategies as st

from rrdbg.frontends.server.packets import PACKET_SIZE, Packet, PacketParser, Signal, number
from rrdbg.links.rsp import frame
from tests.fuzz import bounded_memory, bounded_work, fuzz
from tests.server.conftest import connect, connecting, serving


def test_s10_a_packet_without_an_end_is_given_up_in_bounded_time_and_memory() -> None:
    parser = PacketParser()
    chunk = b"a" * PACKET_SIZE
    with bounded_work(), bounded_memory():
        assert parser.feed(b"$") == []
        # It would go on for 100 MB, if somebody read them.
        assert any(Signal.ENDLESS in parser.feed(chunk) for _ in range(20))


@pytest.mark.parametrize("digits", ["", "-1", "+1", " 1", "1_0", "0x1", "1" * 17, "1" * 5000, "g", "1,2"])
def test_s10_numbers_have_1_to_16_digits(digits: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        number(digits)


def test_s10_numbers() -> None:
    assert number("ffffFFFFffffFFFF") == (1 << 64) - 1
    assert number(b"10") == 16


@fuzz(st.lists(st.binary(max_size=40) | st.sampled_from([b"$", b"#", b"}", b"*~", b"$m", b"\x03"]), max_size=40))
def test_fuzz_packets(pieces: list[bytes]) -> None:
    parser = PacketParser(limit=32)
    with bounded_memory():
        for piece in pieces:
            for event in parser.feed(piece):
                assert not isinstance(event, Packet) or len(event.payload) <= 3200


async def test_s10_packets_that_ask_for_too_much_are_refused(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (_, address), connecting(address) as client:
        many = "1" * 5000
        asked = (
            f"m{many},4", "m-1,4", f"m{'f' * 17},1", f"p{many}", f"x0,{many}", f"Qqemu.PhyMemMode:{many}",
            f"qXfer:features:read:target.xml:{many},4",
        )  # fmt: skip
        for packet in asked:
            with bounded_work():
                assert (await client.exchange(packet.encode())).startswith(b"E"), packet[:20]
        assert await client.exchange(b"qC")


async def test_s10_who_sends_without_an_end_is_sent_away(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (_, address):
        reader, writer = await asyncio.open_unix_connection(address)
        writer.write(b"$")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                writer.write(b"a" * PACKET_SIZE)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(60):
                while await reader.read(4096):
                    pass
        writer.close()
        async with connecting(address) as client:
            assert await client.exchange(b"qC")


async def test_s10_idle_connections_do_not_keep_anybody_out(
    workload: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(workload, tmp_path) as (_, address):
        debugger = await connect(address)
        idle = [await asyncio.open_unix_connection(address) for _ in range(60)]
        try:
            said = [asyncio.create_task(reader.read(200)) for reader, _ in idle]
            async with asyncio.timeout(60):
                for number, answer in enumerate(asyncio.as_completed(said), 1):
                    assert b"Too many clients" in await answer
                    if number == 60 - 32:
                        break
            assert await debugger.exchange(b"qC")
        finally:
            for reading in said:
                reading.cancel()
            for _, writer in idle:
                writer.close()
            await debugger.close()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    assert len(capfd.readouterr().err) < 2000


async def test_s10_a_request_that_is_nested_deep_is_answered(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (_, address):
        reader, writer = await asyncio.open_unix_connection(address)
        try:
            writer.write(b"rrdbg control 1\n" + b"[" * 30_000 + b"\n")
            await reader.readline()
            async with asyncio.timeout(60):
                assert b"A request has one of the keys" in await reader.readline()
        finally:
            writer.close()


def test_frames_are_read(tmp_path: Path) -> None:
    assert PacketParser().feed(frame(b"qC")) == [Packet(b"qC")]
