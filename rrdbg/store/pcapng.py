"""Writing packets as a pcapng file, which Wireshark and tcpdump read.

The format is draft-ietf-opsawg-pcapng: a section header, one Ethernet interface with times in nanoseconds, and a
block for each packet, with its position as a comment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from rrdbg.model.timeline.clock import GuestClock
from rrdbg.model.timeline.events import GuestEvent
from rrdbg.store.files import replacing

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_COMMENT, _NAME, _RESOLUTION = 1, 2, 9
_ETHERNET = 1


def write_pcapng(path: Path, packets: Iterable[GuestEvent], clock: GuestClock) -> int:
    """Write ``packets`` with the times at which they came, all or nothing, and return how many they are.

    :raises OSError: the file cannot be written.
    """
    count = 0
    with replacing(path, private=False) as file:
        file.write(_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        options = _option(_NAME, b"to the guest") + _option(_RESOLUTION, bytes([9])) + _option(0, b"")
        file.write(_block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0) + options))
        for packet in packets:
            moment = clock.epoch_nanoseconds(packet.position)
            size = len(packet.data)
            head = struct.pack("<IIIII", 0, moment >> 32, moment & 0xFFFF_FFFF, size, size)
            comment = _option(_COMMENT, f"rrdbg position {packet.position}".encode()) + _option(0, b"")
            file.write(_block(_PACKET, head + _padded(packet.data) + comment))
            count += 1
    return count


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
