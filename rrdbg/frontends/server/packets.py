"""The wire form of the GDB remote serial protocol, as a server reads it: an incremental parser without I/O.

A packet is ``$body#cc``: ``cc`` is the sum of the body's bytes modulo 256. Between packets a client may send ``+``
(received), ``-`` (send again) and the byte 3 (stop the guest). Whatever else stands there is noise. A ``$`` inside
a body begins a new packet, since a real one would be escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from rrdbg.errors import RspError
from rrdbg.links.rsp import unescape

PACKET_SIZE = 0x4000
"""The longest body that is taken, in bytes; announced to the client as ``PacketSize``."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that arrived whole, its escapes undone."""

    payload: bytes


class Signal(Enum):
    """What else can arrive."""

    RECEIVED = "+"
    SEND_AGAIN = "-"
    INTERRUPT = "ctrl-c"
    DAMAGED = "wrong checksum"
    MALFORMED = "ends inside an escape, or becomes too long without its runs"
    ENDLESS = "many times too long, and goes on"


Event = Packet | Signal

_ENDLESS = 16
"""How many times too long a packet may be that is read to its end, to be answered with an error."""

_BETWEEN = {ord("+"): Signal.RECEIVED, ord("-"): Signal.SEND_AGAIN, 3: Signal.INTERRUPT}


_NUMBER = re.compile(rb"[0-9a-fA-F]{1,16}")


def number(digits: bytes | str) -> int:
    """A number of at most 64 bits, as packets have them: hexadecimal digits and nothing else.

    :raises ValueError: it is none.
    """
    raw = digits.encode() if isinstance(digits, str) else digits
    if _NUMBER.fullmatch(raw) is None:
        raise ValueError(f"{raw[:20]!r} is no number of 1 to 16 hexadecimal digits")
    return int(raw, 16)


class PacketParser:
    """Turns bytes, however they are cut into pieces, into events."""

    def __init__(self, limit: int = PACKET_SIZE) -> None:
        self._limit = limit
        self._body: bytearray | None = None
        self._length = 0
        self._sum = 0
        self._checksum: bytearray | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes, in order."""
        return list(self._events(data))

    def _events(self, data: bytes) -> Iterator[Event]:
        for byte in data:
            if byte == ord("$") and self._checksum is None:
                self._body, self._length, self._sum = bytearray(), 0, 0
            elif self._body is None:
                if byte in _BETWEEN:
                    yield _BETWEEN[byte]
            elif self._checksum is not None:
                self._checksum.append(byte)
                if len(self._checksum) == 2:
                    yield self._finish(bytes(self._body), bytes(self._checksum))
                    self._body = self._checksum = None
            elif byte == ord("#"):
                self._checksum = bytearray()
            else:
                self._length += 1
                self._sum = (self._sum + byte) & 0xFF
                if self._length <= self._limit:
                    self._body.append(byte)
                elif self._length > _ENDLESS * self._limit:
                    yield Signal.ENDLESS
                    return

    def _finish(self, body: bytes, checksum: bytes) -> Event:
        if checksum.lower() != b"%02x" % self._sum:
            return Signal.DAMAGED
        if self._length > self._limit:
            return Signal.MALFORMED
        try:
            payload = unescape(body)
        except RspError:
            return Signal.MALFORMED
        # A run-length code may blow a small body up.
        return Packet(payload) if len(payload) <= 100 * self._limit else Signal.MALFORMED
