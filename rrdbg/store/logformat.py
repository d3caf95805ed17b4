"""The format of QEMU's replay log: event ids, sizes, and how to get from one event to the next.

A log is a 12-byte header (u32 version word, u64 zero) and then events back to back: one byte of id and a
payload, all integers big endian, arrays as u32 length and bytes. INSTRUCTION events carry how many
instructions ran since the previous one, so the icount of any event is the sum of those before it, and the
sum at the END event is the length of the recording. The facts here come from QEMU's replay/ directory
(replay-internal.h, replay-events.c, replay-input.c, replay-char.c, replay-net.c, replay-audio.c) and were
checked against logs that QEMU wrote.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from dataclasses import dataclass
from enum import IntEnum
from mmap import mmap

HEADER_SIZE = 12
"""Offset of the first event, in bytes."""

AUDIO_WITH_RING_POSITION = 0xE0200C
"""QEMU 7.1 to 10: AUDIO_IN carries the ring buffer's position, keys a kind and a QKeyCode or number."""
AUDIO_PLAIN = 0xE0200D
"""AUDIO_IN without the ring buffer's position, keys as before."""
LINUX_KEYS = 0xE0200E
"""QEMU 11.1: keys are Linux key codes, and AUDIO_IN as in 0xe0200d."""

KNOWN_VERSIONS = {
    AUDIO_WITH_RING_POSITION: "QEMU 7.2 to 10",
    AUDIO_PLAIN: "between QEMU 10 and 11.1",
    LINUX_KEYS: "QEMU 11.1",
}
"""Every version word that can be read, and whose it is."""


class Kind(IntEnum):
    """What an event is; the values are the ids in the log. Ids 10 to 21 are all SHUTDOWN, one a cause."""

    INSTRUCTION = 0
    INTERRUPT = 1
    EXCEPTION = 2
    BH = 3
    BH_ONESHOT = 4
    INPUT = 5
    INPUT_SYNC = 6
    CHAR_READ = 7
    BLOCK = 8
    NET = 9
    SHUTDOWN = 10
    CHAR_WRITE = 22
    CHAR_READ_ALL = 23
    CHAR_READ_ALL_ERROR = 24
    AUDIO_OUT = 25
    AUDIO_IN = 26
    RANDOM = 27
    CLOCK_HOST = 28
    CLOCK_VIRTUAL_RT = 29
    CHECKPOINT_CLOCK_WARP_START = 30
    CHECKPOINT_CLOCK_WARP_ACCOUNT = 31
    CHECKPOINT_RESET_REQUESTED = 32
    CHECKPOINT_SUSPEND_REQUESTED = 33
    CHECKPOINT_CLOCK_VIRTUAL = 34
    CHECKPOINT_CLOCK_HOST = 35
    CHECKPOINT_CLOCK_VIRTUAL_RT = 36
    CHECKPOINT_INIT = 37
    CHECKPOINT_RESET = 38
    END = 39


SHUTDOWN_CAUSES = (
    "none",
    "host-error",
    "host-qmp-quit",
    "host-qmp-system-reset",
    "host-signal",
    "host-ui",
    "guest-shutdown",
    "guest-reset",
    "guest-panic",
    "subsystem-reset",
    "snapshot-load",
    "invalid",
)
"""QAPI ShutdownCause by event id, counted from ``Kind.SHUTDOWN``; "invalid" is the enum's end mark.

QEMU 7.1 wrote the same version word without snapshot-load, so its ids from 21 up are one lower. Such a log
cannot be told from a newer one and 7.1 is not supported.
"""

RESET_CAUSES = frozenset({"host-qmp-system-reset", "guest-reset", "subsystem-reset", "snapshot-load"})
"""Causes after which the guest goes on from its reset vector (unless QEMU ran with -no-reboot)."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """A request to reset or end the guest, logged at ``icount``; a few more instructions may follow it."""

    icount: int
    cause: str

    @property
    def is_reset(self) -> bool:
        """True if the guest is reset and goes on, unless QEMU ran with -no-reboot."""
        return self.cause in RESET_CAUSES


class Damage(Exception):
    """What is wrong at ``offset``, before the readers make it an error for the user.

    ``is_cut`` tells a file that ends too early from one with nonsense in it.
    """

    def __init__(self, offset: int, what: str, *, is_cut: bool = False) -> None:
        super().__init__(what)
        self.offset = offset
        self.is_cut = is_cut

    @classmethod
    def cut(cls, offset: int) -> Damage:
        """The event at ``offset`` is not whole."""
        return cls(offset, "the file ends inside the event there", is_cut=True)


FIXED_SIZES: dict[int, int] = {
    Kind.INSTRUCTION: 5,
    Kind.BH: 9,
    Kind.BH_ONESHOT: 9,
    Kind.BLOCK: 9,
    Kind.CHAR_WRITE: 9,
    Kind.CHAR_READ_ALL_ERROR: 5,
    Kind.AUDIO_OUT: 9,
    Kind.CLOCK_HOST: 9,
    Kind.CLOCK_VIRTUAL_RT: 9,
    **dict.fromkeys((Kind.INTERRUPT, Kind.EXCEPTION, Kind.INPUT_SYNC), 1),
    **dict.fromkeys(range(Kind.SHUTDOWN, Kind.SHUTDOWN + len(SHUTDOWN_CAUSES)), 1),
    **dict.fromkeys(range(Kind.CHECKPOINT_CLOCK_WARP_START, Kind.END + 1), 1),
}
"""Bytes that an event takes, its id included, by id; what is not here has a length of its own."""

# Where an event with a byte array has the array's length, counted from its id.
_ARRAY_AT: dict[int, int] = {Kind.CHAR_READ: 2, Kind.NET: 6, Kind.CHAR_READ_ALL: 1, Kind.RANDOM: 5}

_INPUT_KEY = 0
# Payload after the input type: button, relative and absolute movement, multi-touch (8.1 and newer).
_INPUT_SIZES = {1: 5, 2: 12, 3: 12, 4: 32}
# Payload after the key's kind: a number (u64) or a QKeyCode (u32), and whether it went down.
_KEY_SIZES = {0: 9, 1: 5}

_u32 = struct.Struct(">I").unpack_from
_u64 = struct.Struct(">Q").unpack_from

FIRST_CHECKPOINT = int(Kind.CHECKPOINT_CLOCK_WARP_START)

RUN = re.compile(rb"(?s)(?:\x00....[\x1e-\x26]){4,4096}+").match
"""Matches a run of (INSTRUCTION, CHECKPOINT) pairs, 24 to 24,576 bytes, that starts at an INSTRUCTION.

Nearly all of a log of a real guest is such runs, and taking one at a time is ten times as fast as taking
its events one at a time: no delivery, no END and no event without a fixed size can lie inside.
"""


def counts_in_run(run: bytes) -> array[int]:
    """Return the INSTRUCTION payloads in the bytes of a :data:`RUN`."""
    payloads = bytearray(len(run) // 6 * 4)
    for byte in range(4):
        payloads[byte::4] = run[byte + 1 :: 6]
    counts = array("I", payloads)
    if sys.byteorder == "little":
        counts.byteswap()
    return counts


def instructions_in_run(run: bytes) -> int:
    """Return the sum of the INSTRUCTION payloads in the bytes of a :data:`RUN`."""
    return sum(counts_in_run(run))


def event_end(data: mmap, offset: int, version: int) -> int:
    """Return the offset just after the event at ``offset``.

    :raises Damage: no such event is known, or the file ends inside it.
    """
    kind = data[offset]
    end: int
    try:
        if kind in FIXED_SIZES:
            end = offset + FIXED_SIZES[kind]
        elif kind in _ARRAY_AT:
            length_at = offset + _ARRAY_AT[kind]
            end = length_at + 4 + _u32(data, length_at)[0]
        elif kind == Kind.AUDIO_IN:
            # 7.2 writes no samples if the whole ring was filled at once, which the log does not tell.
            head = 17 if version == AUDIO_WITH_RING_POSITION else 9
            end = offset + head + 16 * _u64(data, offset + 1)[0]
        elif kind == Kind.INPUT:
            end = _input_end(data, offset, version)
        else:
            raise Damage(offset, f"{kind} is no event id")
    except struct.error:
        end = len(data) + 1
    if end > len(data):
        raise Damage.cut(offset)
    return end


def _input_end(data: mmap, offset: int, version: int) -> int:
    """Return the end of the INPUT event at ``offset``; raises Damage, or struct.error where it is cut."""
    (kind,) = _u32(data, offset + 1)
    if kind == _INPUT_KEY:
        if version == LINUX_KEYS:
            return offset + 5 + 5
        (key_kind,) = _u32(data, offset + 5)
        if key_kind in _KEY_SIZES:
            return offset + 9 + _KEY_SIZES[key_kind]
        raise Damage(offset, f"an input event has a key of the unknown kind {key_kind}")
    if kind in _INPUT_SIZES:
        return offset + 5 + _INPUT_SIZES[kind]
    raise Damage(offset, f"an input event has the unknown type {kind}")


def check_end(data: mmap, offset: int, kind: int) -> None:
    """Check how a log ended that was walked to ``offset`` and whose last event had the id ``kind``.

    A walk may step over an event of fixed size without looking whether all of it is there.

    :raises Damage: that event is cut, or it is not the END event, or something follows it.
    """
    size = len(data)
    if offset > size:
        raise Damage.cut(offset - FIXED_SIZES[kind])
    if kind != Kind.END:
        raise Damage(offset, "the file ends there, without the END event", is_cut=True)
    if offset < size:
        raise Damage(offset, f"{size - offset:,} bytes follow the END event")
