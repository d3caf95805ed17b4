"""A recording's log as events that say something to a user, and its console with the position of each byte."""

from __future__ import annotations

import datetime
import ipaddress
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.model.timeline.events import EventCount, EventKind, GuestEvent
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.logevents import (
    AudioIn,
    Button,
    CharRead,
    CharWrite,
    Event,
    Key,
    Motion,
    Packet,
    Random,
    Touch,
    events,
)
from rrdbg.store.logformat import Kind, Shutdown
from rrdbg.store.opening import read_regular

_KINDS = {
    Kind.INTERRUPT: EventKind.INTERRUPT,
    Kind.EXCEPTION: EventKind.EXCEPTION,
    Kind.INPUT: EventKind.INPUT,
    Kind.CHAR_READ: EventKind.SERIAL,
    Kind.NET: EventKind.PACKET,
    Kind.BLOCK: EventKind.BLOCK,
    Kind.CLOCK_HOST: EventKind.CLOCK,
    Kind.RANDOM: EventKind.RANDOM,
    Kind.AUDIO_IN: EventKind.AUDIO,
    Kind.AUDIO_OUT: EventKind.AUDIO,
    Kind.CHAR_WRITE: EventKind.OUTPUT,
    Kind.CHECKPOINT_RESET_REQUESTED: EventKind.RESET,
    Kind.SHUTDOWN: EventKind.SHUTDOWN,
}
"""What the kinds of the log are called. QEMU logs no cause of a reset (softmmu/runstate.c, qemu_reset_requested)."""


_MOST_CONSOLE = 1 << 28
_MOST_LINE = 1 << 16
_DELIVERIES = (Kind.INTERRUPT, Kind.EXCEPTION)
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}


def history(log: Path, kinds: Collection[EventKind], start: int = 0, end: int | None = None) -> Iterator[GuestEvent]:
    """The events of ``kinds`` with ``start <= icount < end``, in order, read as they are asked for.

    :raises LogError: the log is damaged; all that could be read has come before.
    """
    wanted = {kind for kind, known in _KINDS.items() if known in kinds}
    # Output is logged one instruction after its place.
    for event, position in _placed(log, wanted, start, None if end is None else end + 1):
        if start <= position.icount and (end is None or position.icount < end):
            yield GuestEvent(position, _KINDS[event.kind], _text(event), _data(event))


def counts(log: Path, start: Position = START, end: Position | None = None) -> list[EventCount]:
    """How many events of each kind there are from ``start`` to ``end``, and where the first and the last are.

    :raises LogError: the log is damaged.
    """
    found: dict[EventKind, list[Position]] = {}
    numbers: Counter[EventKind] = Counter()
    for event, position in _placed(log, set(_KINDS), start.icount, None if end is None else end.icount + 2):
        if start <= position and (end is None or position <= end):
            kind = _KINDS[event.kind]
            numbers[kind] += 1
            found.setdefault(kind, [position, position])[1] = position
    return [EventCount(kind, numbers[kind], first, last) for kind, (first, last) in found.items()]


def _placed(log: Path, wanted: set[Kind], start: int, end: int | None) -> Iterator[tuple[Event, Position]]:
    """The log's events of the kinds ``wanted`` with ``start <= icount < end`` in the log, each with its position."""
    # Each delivery at an icount is one phase of it.
    last, phase = -1, 0
    for event in events(log, wanted.union(_DELIVERIES), start, end):
        if event.icount != last:
            last, phase = event.icount, 0
        if event.kind in wanted:
            yield event, Position(_writer(event)) if event.kind is Kind.CHAR_WRITE else Position(event.icount, phase)
        phase += event.kind in _DELIVERIES


class Console:
    """What the guest printed on its console, and the icount at which it printed each byte."""

    def __init__(self, text: bytes, writes: Iterable[tuple[int, int]]) -> None:
        """``writes`` are those that made ``text``, in order: the icount of each, and how many bytes it wrote."""
        self.text = text
        # By writes, not by bytes: one event of 9 bytes may claim two thousand million of them.
        self._icounts = array("Q")
        self._starts = array("Q")
        start = 0
        for icount, size in writes:
            self._icounts.append(icount)
            self._starts.append(start)
            start += size
        self._size = start

    @classmethod
    def read(cls, log: Path, captured: Path) -> Console:
        """Join the log's output events with what was captured.

        :raises RecordingError: they do not fit, since the guest wrote to other devices, too, or a file is damaged.
        """
        try:
            text = read_regular(captured, _MOST_CONSOLE)
        except OSError as error:
            raise RecordingError(f"Cannot read the console {captured}: {error.strerror}.") from None
        console = cls(text, _writes(log))
        if console._size != len(text):
            raise RecordingError(
                f"Where the console's lines were printed cannot be told: the guest wrote {console._size:,} bytes, and "
                f"its console has {len(text):,}; the others went to other ports, which the log does not tell apart."
            )
        return console

    def lines(self, before: Position | None = None) -> Iterator[tuple[Position, str]]:
        """Each line and where its first byte is about to be printed; all that is printed ``before`` a position.

        One of more than 64 KiB is cut into several.
        """
        size = len(self.text) if before is None else self.size_at(before)
        start = 0
        while start < size:
            most = min(start + _MOST_LINE, size)
            end = self.text.find(b"\n", start, most)
            line = self.text[start : most if end < 0 else end]
            yield self._place(start), line.decode(errors="replace").rstrip("\r")
            start = most if end < 0 else end + 1

    def size_at(self, position: Position) -> int:
        """How many bytes are printed at ``position``."""
        return self._start(bisect_left(self._icounts, position.icount))

    def between(self, start: Position, end: Position) -> str:
        """What is printed between two positions."""
        return self.text[self.size_at(start) : self.size_at(end)].decode(errors="replace").replace("\r", "")

    def find(self, text: str, after: Position) -> Position | None:
        """Where ``text`` is about to be printed next after a position; None if it is not printed any more."""
        first = self._start(bisect_right(self._icounts, after.icount))
        found = self.text.find(text.encode(), first)
        return None if found < 0 else self._place(found)

    def _start(self, write: int) -> int:
        return self._starts[write] if write < len(self._starts) else self._size

    def _place(self, byte: int) -> Position:
        return Position(self._icounts[bisect_right(self._starts, byte) - 1])


def _writes(log: Path) -> Iterator[tuple[int, int]]:
    for event in events(log, (Kind.CHAR_WRITE,)):
        assert isinstance(event.data, CharWrite)
        if event.data.accepted > 0:
            yield _writer(event), event.data.accepted


def _writer(event: Event) -> int:
    """The icount of the instruction that writes: QEMU has counted it when it logs what it does."""
    return max(event.icount - 1, 0)


def _data(event: Event) -> bytes:
    return event.data.data if isinstance(event.data, CharRead | Packet | Random) else b""


def _text(event: Event) -> str:
    data = event.data
    match data:
        case Key():
            return f"key {data.name} {'down' if data.down else 'up'}"
        case Button():
            return f"mouse button {data.button} {'down' if data.down else 'up'}"
        case Motion():
            return f"pointer {data.axis} {'to' if data.absolute else 'by'} {data.value}"
        case Touch():
            return f"touch {data.phase} {data.axis} {data.value}"
        case CharRead():
            return f"on device {data.device}: {_quoted(data.data)}"
        case Packet():
            return describe_packet(data.data)
        case CharWrite():
            return f"{data.accepted} byte" + ("s" if data.accepted != 1 else "")
        case Shutdown():
            return data.cause
        case Random():
            return f"{len(data.data)} random bytes"
        case AudioIn():
            return f"{len(data.samples)} samples recorded"
        case int() if event.kind is Kind.CLOCK_HOST:
            return f"host clock {clock_text(data)}"
        case int():
            return f"request {data}" if event.kind is Kind.BLOCK else f"{data} samples played"
        case _:
            return ""


def clock_text(nanoseconds: int) -> str:
    """A host time in UTC, with milliseconds."""
    moment = datetime.datetime.fromtimestamp(nanoseconds / 1e9, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{nanoseconds // 1_000_000 % 1000:03}"


def describe_packet(packet: bytes) -> str:
    """An Ethernet frame in some words: its length, and who sends what to whom."""
    if len(packet) < 14:
        return f"{len(packet)} bytes"
    kind = int.from_bytes(packet[12:14], "big")
    body = packet[14:]
    if kind == 0x0800 and len(body) >= 20:
        source, target = (str(ipaddress.IPv4Address(body[at : at + 4])) for at in (12, 16))
        return f"{len(packet)} bytes, {_PROTOCOLS.get(body[9], f'IP protocol {body[9]}')} {source} > {target}"
    if kind == 0x86DD and len(body) >= 40:
        source, target = (str(ipaddress.IPv6Address(body[at : at + 16])) for at in (8, 24))
        return f"{len(packet)} bytes, {_PROTOCOLS.get(body[6], f'IPv6 header {body[6]}')} {source} > {target}"
    source, target = (packet[at : at + 6].hex(":") for at in (6, 0))
    name = "ARP" if kind == 0x0806 else f"type {kind:#06x}"
    return f"{len(packet)} bytes, {name} {source} > {target}"


def _quoted(data: bytes) -> str:
    return ascii(data.decode("latin-1"))
