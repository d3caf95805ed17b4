"""QEMU's replay log: its header, its event ids, and a one-pass summary of what is in it.

A log is a 12-byte header (u32 version word, u64 zero) and then events back to back: one byte of id and a
payload, all integers big endian, arrays as u32 length and bytes. INSTRUCTION events carry how many
instructions ran since the previous one, so the icount of any event is the sum of those before it, and the
sum at the END event is the length of the recording. The facts here come from QEMU's replay/ directory
(replay-internal.h, replay-events.c, replay-input.c, replay-char.c, replay-net.c, replay-audio.c) and were
checked against logs that QEMU wrote.

:func:`summarise` reads some millions of events a second; :mod:`rrdbg.store.logevents` decodes payloads.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from rrdbg.errors import LogError
from rrdbg.model.deliveries import Deliveries

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


_CACHE_HEAD = struct.Struct("<8sI?QQQQQ")
_CACHE_MAGIC = b"rrdbglg1"
_CACHE_SHUTDOWN = struct.Struct("<QB")


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What one pass over a replay log tells.

    ``total`` is the length of the recording in instructions, ``ended`` whether the END event was seen
    (false only in the ``partial`` of a :class:`DamagedLog`), ``char_writes`` the number of CHAR_WRITE
    events: one for each write of the guest to a character device, which for a serial port is one a byte.
    """

    version: int
    size_bytes: int
    total: int
    ended: bool
    deliveries: Deliveries
    shutdowns: tuple[Shutdown, ...]
    char_writes: int

    @property
    def shutdown(self) -> Shutdown | None:
        """The first shutdown or reset request, if there is one."""
        return self.shutdowns[0] if self.shutdowns else None

    def to_bytes(self) -> bytes:
        """Serialise for a cache file; :meth:`from_bytes` reads it on any machine."""
        icounts = array("Q", self.deliveries.icounts)
        if sys.byteorder == "big":
            icounts.byteswap()
        head = _CACHE_HEAD.pack(
            _CACHE_MAGIC,
            self.version,
            self.ended,
            self.size_bytes,
            self.total,
            self.char_writes,
            len(icounts),
            len(self.shutdowns),
        )
        shutdowns = b"".join(
            _CACHE_SHUTDOWN.pack(event.icount, SHUTDOWN_CAUSES.index(event.cause)) for event in self.shutdowns
        )
        body = head + icounts.tobytes() + self.deliveries.kinds + shutdowns
        return body + struct.pack("<I", zlib.crc32(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> LogSummary:
        """Read what :meth:`to_bytes` wrote.

        :raises LogError: it is something else, from another rrdbg, or damaged.
        """
        foreign = LogError(
            "The cached summary of the replay log is damaged or from another version of rrdbg; "
            "delete it and it is made again from the log."
        )
        body = data[:-4]
        if (
            len(body) < _CACHE_HEAD.size
            or not body.startswith(_CACHE_MAGIC)
            or data[-4:] != struct.pack("<I", zlib.crc32(body))
        ):
            raise foreign
        _, version, ended, size_bytes, total, char_writes, delivered, shut = _CACHE_HEAD.unpack_from(body)
        kinds_at = _CACHE_HEAD.size + 8 * delivered
        shutdowns_at = kinds_at + delivered
        if len(body) != shutdowns_at + shut * _CACHE_SHUTDOWN.size:
            raise foreign
        icounts = array("Q", body[_CACHE_HEAD.size : kinds_at])
        if sys.byteorder == "big":
            icounts.byteswap()
        shutdowns = tuple(
            Shutdown(icount, SHUTDOWN_CAUSES[cause])
            for icount, cause in _CACHE_SHUTDOWN.iter_unpack(body[shutdowns_at:])
        )
        deliveries = Deliveries(icounts, body[kinds_at:shutdowns_at])
        return cls(version, size_bytes, total, ended, deliveries, shutdowns, char_writes)


class DamagedLog(LogError):
    """A log that can be read only up to ``offset``; ``partial`` summarises the whole events before it.

    ``partial`` is None when the error comes from something else than :func:`summarise`.
    """

    def __init__(self, message: str, offset: int, partial: LogSummary | None = None) -> None:
        super().__init__(message, offset)
        self.partial = partial


class TruncatedLog(DamagedLog):
    """The file ends inside an event, or before the END event."""


class CorruptLog(DamagedLog):
    """At ``offset`` stands something that no known QEMU writes."""


class Damage(Exception):
    """Private to the log readers: what is wrong at ``offset``, before the file's name is known."""

    def __init__(self, offset: int, what: str, error: type[DamagedLog] = CorruptLog) -> None:
        super().__init__(what)
        self.offset = offset
        self.what = what
        self.error = error

    @classmethod
    def cut(cls, offset: int) -> Damage:
        """The event at ``offset`` is not whole."""
        return cls(offset, "the file ends inside the event there", TruncatedLog)


def describe_damage(path: Path, damage: Damage, icount: int, partial: LogSummary | None = None) -> DamagedLog:
    """Return the error to raise for ``damage`` found in the log at ``path`` after ``icount`` instructions."""
    return damage.error(
        f"The replay log {path} is damaged at byte {damage.offset:,}, after {icount:,} instructions: "
        f"{damage.what}. Copy it again from where it was recorded, or record again; "
        "only what comes before that byte can be used.",
        damage.offset,
        partial,
    )


@contextmanager
def open_log(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open the log at ``path`` and check its header; gives the file and the version word.

    :raises LogError: see :func:`read_header`.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise LogError(f"The replay log {path} cannot be opened: {error.strerror}.") from error
    with file:
        try:
            header = file.read(HEADER_SIZE)
        except OSError as error:
            raise LogError(f"The replay log {path} cannot be read: {error.strerror}.") from error
        yield file, _version(path, header)


def read_header(path: Path) -> int:
    """Return the version word of the replay log at ``path``, one of ``KNOWN_VERSIONS``.

    :raises LogError: the file cannot be read, is shorter than a header, was never finished by its
        recorder (version word 0), is of an unknown version, or is no replay log.
    """
    with open_log(path) as (_, version):
        return version


def _version(path: Path, header: bytes) -> int:
    """Return the version word in ``header`` or raise the LogError that says what is wrong with it."""
    if not header:
        raise LogError(f"The replay log {path} is empty: the recorder did not get to write it; record again.")
    if len(header) < HEADER_SIZE:
        raise LogError(
            f"The replay log {path} has {len(header)} bytes, fewer than its {HEADER_SIZE}-byte header; "
            "copy it again from where it was recorded, or record again.",
            len(header),
        )
    version = int.from_bytes(header[:4])
    if version == 0:
        # QEMU writes the version word last, in replay_finish().
        raise LogError(
            f"The replay log {path} has version word 0: the recorder was killed before it could finish the "
            "log. Record again, and end the recording with 'quit' over QMP or a SIGTERM, not with SIGKILL."
        )
    if version in KNOWN_VERSIONS:
        return version
    if version >> 8 != AUDIO_WITH_RING_POSITION >> 8:
        raise LogError(f"{path} is not a QEMU replay log: it begins with {header[:4].hex(' ')}.")
    known = ", ".join(f"{word:#x} ({whose})" for word, whose in KNOWN_VERSIONS.items())
    raise LogError(
        f"The replay log {path} has version {version:#x}, which this rrdbg does not know; it knows {known}. "
        "Record with one of those QEMU versions, or use a newer rrdbg."
    )


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

# By id: bytes to skip for the events of which a summary needs nothing but their size; 0 for all others.
_SKIPPED = bytes(
    0
    if kind in {Kind.INSTRUCTION, Kind.INTERRUPT, Kind.EXCEPTION, Kind.CHAR_WRITE, Kind.END}
    or Kind.SHUTDOWN <= kind < Kind.CHAR_WRITE
    else FIXED_SIZES.get(kind, 0)
    for kind in range(256)
)


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
        raise Damage(offset, "the file ends there, without the END event", TruncatedLog)
    if offset < size:
        raise Damage(offset, f"{size - offset:,} bytes follow the END event")


def summarise(path: Path) -> LogSummary:
    """Read the whole replay log at ``path`` once and return what it tells.

    :raises TruncatedLog: the file ends before its END event; ``partial`` says what could be read.
    :raises CorruptLog: an event is none that QEMU writes, or something follows the END event.
    :raises LogError: as :func:`read_header`.
    """
    with (
        open_log(path) as (file, version),
        mmap(file.fileno(), 0, access=ACCESS_READ) as data,
    ):
        return _scan(path, data, version)


def _scan(path: Path, data: mmap, version: int) -> LogSummary:
    """Do the pass of :func:`summarise`. Everything in the loop is local: it runs once an event."""
    size = len(data)
    offset = HEADER_SIZE
    total = char_writes = 0
    ended = False
    icounts = array("Q")
    kinds = bytearray()
    shutdowns: list[Shutdown] = []
    skipped, u32 = _SKIPPED, _u32
    char_write, first_shutdown, end = (
        int(Kind.CHAR_WRITE),
        int(Kind.SHUTDOWN),
        int(Kind.END),
    )

    def summary() -> LogSummary:
        deliveries = Deliveries(icounts, bytes(kinds))
        return LogSummary(version, size, total, ended, deliveries, tuple(shutdowns), char_writes)

    kind = 0
    try:
        while offset < size:
            kind = data[offset]
            if not kind:  # INSTRUCTION: every second event
                total += u32(data, offset + 1)[0]
                offset += 5
            elif step := skipped[kind]:
                offset += step
            elif kind == char_write:
                char_writes += 1
                offset += 9
            elif kind <= 2:  # INTERRUPT or EXCEPTION
                icounts.append(total)
                kinds.append(kind)
                offset += 1
            elif first_shutdown <= kind < char_write:
                shutdowns.append(Shutdown(total, SHUTDOWN_CAUSES[kind - first_shutdown]))
                offset += 1
            elif kind == end:
                ended = True
                offset += 1
                break
            else:
                offset = event_end(data, offset, version)
        check_end(data, offset, kind)
    except struct.error:
        raise describe_damage(path, Damage.cut(offset), total, summary()) from None
    except Damage as damage:
        char_writes -= kind == char_write and offset > size  # a cut one was counted
        raise describe_damage(path, damage, total, summary()) from None
    return summary()
