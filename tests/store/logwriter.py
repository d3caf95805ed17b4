"""A writer of replay logs, for tests only; it shares no table with the reader.

A log is written from (kind, data) pairs, with ``data`` as :class:`rrdbg.store.logevents.Event` has it. An
event that no writer of that version could make is a ValueError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import accumulate

from rrdbg.store.logevents import (
    AudioIn,
    Button,
    CharRead,
    CharWrite,
    Key,
    KeySpace,
    Motion,
    Packet,
    Payload,
    Random,
    Touch,
)
from rrdbg.store.logformat import Kind, Shutdown

Item = tuple[Kind, Payload]

OLD, NO_RING, LINUX = 0xE0200C, 0xE0200D, 0xE0200E
VERSIONS = (OLD, NO_RING, LINUX)

CAUSES = {
    "none": 10,
    "host-error": 11,
    "host-qmp-quit": 12,
    "host-qmp-system-reset": 13,
    "host-signal": 14,
    "host-ui": 15,
    "guest-shutdown": 16,
    "guest-reset": 17,
    "guest-panic": 18,
    "subsystem-reset": 19,
    "snapshot-load": 20,
    "invalid": 21,
}
# A few of QEMU's key codes; the test against QEMU itself looks at all of them.
QCODES = {"unmapped": 0, "esc": 8, "a": 36, "ret": 35, "lang2": 149}
BUTTONS = {"left": 0, "middle": 1, "right": 2, "wheel-up": 3, "side": 5, "touch": 9, "button-77": 77}
AXES = {"x": 0, "y": 1, "axis-9": 9}
TOUCH_PHASES = {"begin": 0, "update": 1, "end": 2, "cancel": 3, "data": 4}


def write_log(version: int, items: Iterable[Item], *, end: bool = True) -> bytes:
    """A whole log; ``end`` says whether the END event is written, as it is by a recorder that quits."""
    return header(version) + b"".join(encode(version, *item) for item in items) + (b"\x27" if end else b"")


def header(version: int) -> bytes:
    return struct.pack(">IQ", version, 0)


def offsets(version: int, items: Iterable[Item]) -> list[int]:
    """Where each of the items begins in the log, and where the last ends."""
    return list(accumulate((len(encode(version, *item)) for item in items), initial=12))


def encode(version: int, kind: Kind, data: Payload) -> bytes:
    """The bytes of one event."""
    return _id(kind, data) + _payload(version, kind, data)


def _id(kind: Kind, data: Payload) -> bytes:
    return bytes([CAUSES[data.cause] if isinstance(data, Shutdown) else kind.value])


def _payload(version: int, kind: Kind, data: Payload) -> bytes:
    match kind, data:
        case _, None | Shutdown():
            return b""
        case Kind.INSTRUCTION, int(count):
            return struct.pack(">I", count)
        case Kind.CHAR_READ_ALL_ERROR, int(error):
            return struct.pack(">i", error)
        case Kind.CLOCK_HOST | Kind.CLOCK_VIRTUAL_RT, int(nanoseconds):
            return struct.pack(">q", nanoseconds)
        case Kind.BH | Kind.BH_ONESHOT | Kind.BLOCK | Kind.AUDIO_OUT, int(number):
            return struct.pack(">Q", number)
        case Kind.INPUT, Key() | Button() | Motion() | Touch():
            return _input(version, data)
        case Kind.CHAR_READ, CharRead(device, text):
            return struct.pack(">B", device) + _array(text)
        case Kind.NET, Packet(filter_id, flags, packet):
            return struct.pack(">BI", filter_id, flags) + _array(packet)
        case Kind.CHAR_WRITE, CharWrite(accepted, offset):
            return struct.pack(">ii", accepted, offset)
        case Kind.CHAR_READ_ALL, bytes(text):
            return _array(text)
        case Kind.AUDIO_IN, AudioIn(samples, position) if (position is None) == (version != OLD):
            ring = b"" if position is None else struct.pack(">Q", position)
            return struct.pack(">Q", len(samples)) + ring + b"".join(struct.pack(">QQ", *pair) for pair in samples)
        case Kind.RANDOM, Random(result, drawn):
            return struct.pack(">i", result) + _array(drawn)
    raise ValueError(f"no QEMU writes {kind!r} with {data!r} in version {version:#x}")


def _input(version: int, data: Key | Button | Motion | Touch) -> bytes:
    match data:
        case Key(KeySpace.LINUX, code, down) if version == LINUX:
            return struct.pack(">II?", 0, code, down)
        case Key(KeySpace.NUMBER, code, down) if version != LINUX:
            return struct.pack(">IIQ?", 0, 0, code, down)
        case Key(KeySpace.QCODE, code, down) if version != LINUX:
            return struct.pack(">III?", 0, 1, code, down)
        case Button(button, down):
            return struct.pack(">II?", 1, BUTTONS[button], down)
        case Motion(axis, value, absolute):
            return struct.pack(">IIq", 3 if absolute else 2, AXES[axis], value)
        case Touch(phase, slot, tracking_id, axis, value):
            return struct.pack(">IIqqIq", 4, TOUCH_PHASES[phase], slot, tracking_id, AXES[axis], value)
    raise ValueError(f"no QEMU writes {data!r} in version {version:#x}")


def _array(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
