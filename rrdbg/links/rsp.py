"""A client of the GDB remote serial protocol, as much of it as QEMU's gdbstub needs.

One exchange is a packet and its answer. Packets are ``$payload#checksum``, acknowledged with ``+``
(QEMU 7.2 and 10.0 know no QStartNoAckMode). A resume (``c``, ``s``) is answered when the guest stops.

What is written wakes QEMU, and what comes wakes us, so an acknowledgement goes out with the next packet, and several
packets may be sent at once: QEMU takes them in order. After a resume nothing may be sent: any byte stops the guest.

QEMU 7.2 also sends a stop reply nobody asked for after each stop that QMP made, so a stop reply that
arrives where an ordinary answer is due is stale, and is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.errors import QemuDied, RspError, Stalled

ANSWER_SECONDS = 30.0
"""How long an ordinary exchange may take; they take 0.3 ms, but the machine may be busy."""

_CHUNK_BYTES = 1 << 16
_LONGEST_PACKET = 1 << 20
_PACKET = re.compile(rb"\$([^#]*)#([0-9a-fA-F]{2})", re.DOTALL)
_ESCAPE = 0x7D
_SPECIAL = b"#$}*"
_MONITOR = b"qRcmd,"
_STALE_STOP = re.compile(rb"T[0-9a-f]{2}(?:thread|core):|[WX][0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class StopReply:
    """What the stub said when the guest stopped: the signal number and the named values."""

    signal: int
    fields: dict[str, str]

    @property
    def watched(self) -> tuple[str, int] | None:
        """The kind (``watch``, ``rwatch``, ``awatch``) and address of a watchpoint stop."""
        for kind in ("watch", "rwatch", "awatch"):
            if kind in self.fields:
                return kind, int(self.fields[kind], 16)
        return None


def frame(payload: bytes) -> bytes:
    """Wrap ``payload`` as a packet: escapes, ``$``, ``#`` and checksum."""
    body = payload
    if len(payload.translate(None, _SPECIAL)) < len(payload):
        body = b"".join(bytes((_ESCAPE, byte ^ 0x20)) if byte in _SPECIAL else bytes((byte,)) for byte in payload)
    return b"$%b#%02x" % (body, sum(body) & 0xFF)


def monitor_packet(line: str) -> bytes:
    """The packet that runs a human-monitor command."""
    return _MONITOR + line.encode().hex().encode()


def unescape(body: bytes) -> bytes:
    """Undo escapes (``}``) and run-length encoding (``*``) of a packet's body.

    :raises RspError: the body ends in the middle of either, or a run has nothing to repeat.
    """
    if b"}" not in body and b"*" not in body:
        return body
    out = bytearray()
    bytes_left = iter(body)
    for byte in bytes_left:
        if byte == _ESCAPE:
            out.append(_next(bytes_left, body) ^ 0x20)
        elif byte == ord("*"):
            count = _next(bytes_left, body) - 29
            if not out or count < 1:
                raise RspError(f"The gdbstub sent a run of nothing in {body[:40]!r}.")
            out += out[-1:] * count
        else:
            out.append(byte)
    return bytes(out)


def _next(bytes_left: object, body: bytes) -> int:
    value = next(bytes_left, None)  # type: ignore[call-overload]
    if value is None:
        raise RspError(f"The gdbstub sent a packet that ends too early: {body[-40:]!r}.")
    return int(value)


def parse_stop(reply: bytes) -> StopReply:
    """Read a stop reply (``T05thread:01;watch:1000;``, ``S05``, ``T05core:01;``).

    :raises QemuDied: the reply says that the process has ended (``W``, ``X``).
    :raises RspError: it is no stop reply.
    """
    text = reply.decode("latin-1")
    if text[:1] in ("W", "X"):
        raise QemuDied("QEMU ended while the guest was running: it ran past the end of its recording.")
    if text[:1] not in ("T", "S") or len(text) < 3:
        raise RspError(f"The gdbstub sent {text[:60]!r} where a stop reply was due.")
    pairs = (item.partition(":") for item in text[3:].split(";") if item)
    return StopReply(int(text[1:3], 16), {name: value for name, _, value in pairs})


class RspClient:
    """One connection to a gdbstub; not for use by two tasks at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._received = bytearray()
        self._acknowledgement = b""
        self.broken = False
        """True once an exchange was broken off: its answer may still come, and would be taken for the next one's."""

    async def exchange(self, payload: str | bytes) -> bytes:
        """Send ``payload`` and return the answer, which is empty where the stub does not know the packet.

        :raises Stalled: no answer within :data:`ANSWER_SECONDS`.
        :raises QemuDied: the connection was closed.
        """
        return (await self.exchange_all([payload.encode() if isinstance(payload, str) else payload]))[0]

    async def exchange_all(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Send several packets at once, none of which sets the guest going, and return the answers in order.

        To a human-monitor command (``qRcmd``) that is what it printed.

        :raises Stalled: as for :meth:`exchange`.
        :raises QemuDied: as for :meth:`exchange`.
        :raises RspError: the stub refused a human-monitor command.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._send(b"".join(map(frame, payloads)))
                return [await self._answer(payload) for payload in payloads]
        except TimeoutError:
            self.broken = True
            raise Stalled(
                f"QEMU's gdbstub gave no answer to {payloads[0][:20].decode('latin-1')!r} in {ANSWER_SECONDS:.0f} s; "
                "QEMU may hang. Travel again."
            ) from None
        except BaseException:
            self.broken = True
            raise

    async def _answer(self, payload: bytes) -> bytes:
        while _STALE_STOP.match(answer := await self._packet()) and payload != b"?":
            pass
        if not payload.startswith(_MONITOR):
            return answer
        printed = bytearray()
        while answer[:1] == b"O" and answer != b"OK":
            printed += bytes.fromhex(answer[1:].decode())
            answer = await self._packet()
        if answer not in (b"OK", b""):
            line = bytes.fromhex(payload[len(_MONITOR) :].decode()).decode()
            raise RspError(f"QEMU's monitor refused {line!r} ({answer.decode('latin-1')!r}).")
        return bytes(printed)

    async def command(self, payload: str) -> None:
        """Send a packet that must be answered ``OK``.

        :raises RspError: it was not.
        """
        answer = await self.exchange(payload)
        if answer != b"OK":
            raise RspError(f"QEMU's gdbstub answered {answer.decode('latin-1')!r} to {payload[:40]!r}.")

    async def monitor(self, line: str) -> str:
        """Run a human-monitor command (``qRcmd``) and return what it printed.

        :raises RspError: the stub refused it.
        """
        return (await self.exchange(monitor_packet(line))).decode(errors="replace")

    def resume(self, action: str) -> None:
        """Set the guest going with ``c`` or ``s``; :meth:`stopped` gives the answer."""
        self._send(frame(action.encode()))

    async def stopped(self) -> StopReply:
        """Wait for the guest to stop, however long; the caller keeps the watch."""
        return parse_stop(await self._packet())

    def interrupt(self) -> None:
        """Ask a running guest to stop; :meth:`stopped` gives the answer."""
        self._writer.write(b"\x03")

    async def close(self) -> None:
        """Close the connection; harmless if it is closed already."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def _send(self, data: bytes) -> None:
        self._writer.write(self._acknowledgement + data)
        self._acknowledgement = b""

    async def _packet(self) -> bytes:
        """The body of the next packet; may be cancelled without losing any of it."""
        while True:
            while (found := _PACKET.search(self._received)) is None:
                await self._receive()
            body, checksum = found.groups()
            del self._received[: found.end()]
            if int(checksum, 16) == sum(body) & 0xFF:
                self._acknowledgement = b"+"
                return unescape(body)
            self._writer.write(b"-")

    async def _receive(self) -> None:
        try:
            data = await self._reader.read(_CHUNK_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise QemuDied("QEMU closed its gdbstub connection: the process has ended.")
        self._received += data
        if len(self._received) > _LONGEST_PACKET:
            raise RspError("QEMU's gdbstub sends no packets.")
