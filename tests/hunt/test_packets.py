"""Packets that come late to the guest of a hunt: while it is recorded only, and a replay has them where they came."""

from __future__ import annotations

import asyncio
import doctest
import socket
from pathlib import Path

import pytest

from rrdbg.engine.hunt.attempt import Guest, attempt, course_of
from rrdbg.engine.making.late_packets import LatePackets
from rrdbg.engine.replay import Replay
from rrdbg.frontends.cli.main import main
from rrdbg.model.hunt.perturbation import ALWAYS, Aspect, Perturbation, useful
from rrdbg.model.machine import network
from rrdbg.model.timeline.events import EventKind
from rrdbg.store.history import history
from rrdbg.store.recording import Recording, adopt
from rrdbg.store.timeline_file import load_timeline
from tests.cli.conftest import bare_metal
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import build
from tests.matrix.jumps import forward, jump, places

NETWORK = ("-netdev", "user,id=net", "-device", "ne2k_isa,netdev=net,iobase=0x300,irq=9")
LATE = Perturbation(packets=200)


@pytest.fixture(scope="module")
def guest() -> Guest:
    """It asks three times who is there, and waits for each answer."""
    with failing_clearly("network"):
        return Guest((*bare_metal(build("network", GUEST_DIR)), *NETWORK), timeout=60.0)


def test_the_examples_are_right() -> None:
    assert doctest.testmod(network).failed == 0


async def test_packets_come_back_whole_and_in_their_order_and_not_at_once() -> None:
    packets = [bytes([number]) * (number + 1) for number in range(40)]
    framed = b"".join(len(packet).to_bytes(4) + packet for packet in packets)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with LatePackets(["net"], 50) as late:
        out, back = (socket.socket(fileno=end.detach()) for end in late.sockets)
        with out, back:
            back.setblocking(False)
            out.sendall(framed)
            came = b""
            while len(came) < len(framed):
                came += await loop.sock_recv(back, 1 << 16)
    assert came == framed
    # As late as the latest of those before it: of forty one is so late, whatever the dice.
    assert loop.time() - began > 0.025
    assert all(end.fileno() == -1 for end in late.sockets)


async def test_a_qemu_that_ends_ends_the_detour() -> None:
    async with LatePackets(["net", "other"], 1) as late:
        assert len(late.sockets) == 4
        late.sockets[0].sendall(b"\0\0")
        for end in late.sockets:
            end.close()


def ticks_before_packets(path: Path) -> list[int]:
    """How many interrupts and exceptions come before each packet."""
    with Recording.open(path, trusted=True) as recording:
        delivered = recording.log.deliveries.icounts
        packets = history(recording.layout.log, {EventKind.PACKET})
        return [sum(icount < packet.position.icount for icount in delivered) for packet in packets]


async def test_other_events_come_before_a_late_packet(guest: Guest, tmp_path: Path) -> None:
    recorded = await attempt(guest, Perturbation(), tmp_path / "plain"), await attempt(guest, LATE, tmp_path / "late")
    assert not course_of(recorded[0]).same_as(course_of(recorded[1]))
    plain, late = (known.directory for known in recorded)
    assert len(ticks_before_packets(plain)) == 3
    # The guest waits for each answer, of which the last is 142 ms late, and its timer goes on, each 10 ms. How many
    # ticks come in a plain run the host decides: a busy one makes a packet late, too.
    _, second, third = ticks_before_packets(late)
    assert third > second
    with Recording.open(late, trusted=True) as recording:
        words = " ".join(recording.manifest.invocation.machine_words())
        assert "filter-replay" in words
        assert "redirector" not in words


async def replays_exactly(path: Path, jumps: int) -> None:
    adopt(path)
    with Recording.open(path) as recording:
        wanted = places(load_timeline(recording), jumps, seed=1)
    expected = await forward(path, wanted)
    async with await Replay.open(path) as replay:
        outcome = await jump(replay, wanted, expected)
        assert (outcome.exact, outcome.sound) == (jumps, True), outcome
        await replay.seek(replay.timeline.end)
        assert replay.position == replay.timeline.end


async def test_a_recording_with_late_packets_replays_exactly(guest: Guest, tmp_path: Path) -> None:
    await replays_exactly((await attempt(guest, LATE, tmp_path / "late")).directory, 12)


@pytest.mark.matrix
@pytest.mark.parametrize("card", ["ne2k_isa", "virtio-net-pci"])
async def test_two_hundred_jumps_are_the_forward_run(card: str, tmp_path: Path) -> None:
    """A virtio card is only there to be found: the guest drives the other."""
    other = ("-netdev", "user,id=other", "-device", "virtio-net-pci,netdev=other") if card != "ne2k_isa" else ()
    guest = Guest((*bare_metal(build("network", GUEST_DIR)), *NETWORK, *other), timeout=60.0)
    await replays_exactly((await attempt(guest, LATE, tmp_path / "late")).directory, 200)


def test_they_are_late_only_where_there_is_a_network() -> None:
    plain = ("qemu-system-x86_64", "-nodefaults", "-kernel", "k.elf")
    assert Aspect.PACKETS not in useful(ALWAYS, plain)
    assert Aspect.PACKETS not in useful(ALWAYS, (*plain, "-nic", "none"))
    assert Aspect.PACKETS in useful(ALWAYS, (*plain, "-nic", "user,model=rtl8139"))
    assert Aspect.PACKETS in useful(ALWAYS, (*plain, *NETWORK))


async def test_a_board_without_a_network_has_no_detour(tmp_path: Path, workload_guest: Path) -> None:
    recorded = await attempt(Guest(bare_metal(workload_guest), timeout=60.0), LATE, tmp_path / "none")
    assert recorded.ended == "the guest powered off"


def test_a_run_that_can_be_repeated_has_none_that_is_late(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--repeatable", "--vary", "packets", "--", *bare_metal(Path("k.elf")), *NETWORK)
    assert main(["hunt", "--until-console", "X", *words]) == 2
    assert "'packets' goes by its clock" in capsys.readouterr().err
