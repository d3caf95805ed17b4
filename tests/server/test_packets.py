"""The packet parser: every packet comes through, however it is cut, and no bytes can break it."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.frontends.server.packets import PACKET_SIZE, Event, Packet, PacketParser, Signal
from rrdbg.links.rsp import frame


def _fed(data: bytes, cuts: list[int], limit: int = PACKET_SIZE) -> list[Event]:
    parser = PacketParser(limit)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[low:high] for low, high in itertools.pairwise(edges)]
    return [event for piece in pieces for event in parser.feed(piece)]


@given(st.lists(st.binary(max_size=80)), st.lists(st.integers(0, 10_000)))
def test_packets_survive_framing_and_any_cut(payloads: list[bytes], cuts: list[int]) -> None:
    data = b"+".join(frame(payload) for payload in payloads)
    events = [event for event in _fed(data, cuts) if isinstance(event, Packet)]
    assert [event.payload for event in events] == payloads


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000)))
def test_noise_gives_the_same_events_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert _fed(data, cuts) == _fed(data, [])


@given(st.lists(st.sampled_from([b"$", b"#", b"}", b"*", b"\x03", b"+", b"00", b"a", b"\xff"]), max_size=60))
def test_after_any_noise_a_packet_gets_through(pieces: list[bytes]) -> None:
    # Two packets: the first may be taken for the checksum of what the noise began.
    events = _fed(b"".join(pieces) + frame(b"?") + frame(b"qC"), [])
    assert events[-1] == Packet(b"qC")


def test_a_ctrl_c_is_seen_between_packets_and_is_data_inside() -> None:
    assert _fed(b"\x03" + frame(b"a\x03b"), []) == [Signal.INTERRUPT, Packet(b"a\x03b")]


def test_a_wrong_checksum_is_told() -> None:
    assert _fed(b"$g#00+", []) == [Signal.DAMAGED, Signal.RECEIVED]


def test_a_packet_too_long_is_told_and_the_next_is_read() -> None:
    assert _fed(frame(b"a" * 11) + frame(b"b" * 10), [], limit=10) == [Signal.MALFORMED, Packet(b"b" * 10)]


def test_an_escape_without_a_byte_is_malformed() -> None:
    assert _fed(b"$ab}#%02x" % (sum(b"ab}") & 0xFF), []) == [Signal.MALFORMED]
