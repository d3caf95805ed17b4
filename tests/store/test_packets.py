"""Packets that came to the guest: their places, and the file for Wireshark."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.frontends.cli.main import main
from rrdbg.model.timeline.events import EventKind
from rrdbg.store.clock import read_clock
from rrdbg.store.history import history
from rrdbg.store.recording import Recording
from tests.conftest import GUEST_DIR, failing_clearly, record
from tests.guests.build import build, symbol

NETWORK = ("-netdev", "user,id=net", "-device", "ne2k_isa,netdev=net,iobase=0x300,irq=9")


@pytest.fixture(scope="session")
def network_guest() -> Path:
    with failing_clearly("network"):
        return build("network", GUEST_DIR)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory, network_guest: Path) -> Path:
    """A recording of a guest that gets three packets."""
    return record(network_guest, tmp_path_factory.mktemp("recordings") / "network", words=NETWORK)


async def test_packets_come_where_the_log_says(network: Path, network_guest: Path) -> None:
    """At each packet's position the guest has counted those before; and the replay gets to the same end."""
    replies = symbol(network_guest, "replies").address
    async with await Replay.open(network) as replay:
        packets = list(history(replay.recording.layout.log, {EventKind.PACKET}))
        assert len(packets) == 3
        for count, packet in enumerate(packets):
            await replay.seek(packet.position)
            assert int.from_bytes(await replay.read_memory(replies, 8), "little") == count
            assert packet.data.startswith(bytes.fromhex("525400123456"))
            assert "ARP" in packet.text
        await replay.seek(replay.timeline.end)
        assert int.from_bytes(await replay.read_memory(replies, 8), "little") == 3


def test_wireshark_reads_them_with_the_guests_times(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Recording.open(network) as recording:
        clock = read_clock(recording.layout.log, recording.manifest.invocation)
        packets = list(history(recording.layout.log, {EventKind.PACKET}))
    target = tmp_path / "packets.pcapng"
    assert main(("events", str(network), "--pcap", str(target))) == 0
    assert capsys.readouterr().out == f"Packets that came to the guest, written to {target}: 3.\n"
    fields = ("frame.time_epoch", "frame.comment", "frame.len", "arp.src.proto_ipv4")
    words = ["tshark", "-r", str(target), "-T", "fields", *(word for field in fields for word in ("-e", field))]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    expected = []
    for packet in packets:
        moment = clock.epoch_nanoseconds(packet.position)
        seconds = f"{moment // 10**9}.{moment % 10**9:09}"
        expected.append([seconds, f"rrdbg position {packet.position}", str(len(packet.data)), "10.0.2.2"])
    assert [line.split("\t") for line in done.stdout.splitlines()] == expected
    assert not list(tmp_path.glob(".packets*"))
    assert main(("events", str(network), "--from", str(packets[1].position.icount), "--pcap", str(target))) == 0
    assert capsys.readouterr().out.endswith(": 2.\n")
