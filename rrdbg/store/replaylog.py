"""Opening QEMU's replay log: its header, and a summary that one fast pass gives.

:func:`summarise` reads tens of millions of events a second, :mod:`rrdbg.store.logevents` decodes their
payloads, and :mod:`rrdbg.store.logformat` knows the format.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from rrdbg.errors import LogError, RecordingError
from rrdbg.model.timeline.deliveries import Deliveries
from rrdbg.model.timeline.profile import MOST_SAMPLES, Profile
from rrdbg.store.logformat import (
    AUDIO_WITH_RING_POSITION,
    FIXED_SIZES,
    HEADER_SIZE,
    KNOWN_VERSIONS,
    RUN,
    SHUTDOWN_CAUSES,
    Damage,
    Kind,
    Shutdown,
    check_end,
    event_end,
    instructions_in_run,
)
from rrdbg.store.opening import open_regular

_CACHE_HEAD = struct.Struct("<8sI?QQQQQQ")
_CACHE_MAGIC = b"rrdbglg2"
_CACHE_SHUTDOWN = struct.Struct("<QB")

MOST_AT_ONCE = 1 << 12
"""How many interrupts and exceptions may come without an instruction between them; a real guest has two or three."""


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What one pass over a replay log tells.

    ``total`` is the length of the recording in instructions, ``ended`` whether the END event was seen
    (false only in the ``partial`` of a :class:`DamagedLog`), ``char_writes`` the number of CHAR_WRITE
    events: one for each write of the guest to a character device, which for a serial port is one a byte. ``profile``
    tells how the log's size is spread over its instructions.
    """

    version: int
    size_bytes: int
    total: int
    ended: bool
    deliveries: Deliveries
    shutdowns: tuple[Shutdown, ...]
    char_writes: int
    profile: Profile

    @property
    def shutdown(self) -> Shutdown | None:
        """The first shutdown or reset request, if there is one."""
        return self.shutdowns[0] if self.shutdowns else None

    def to_bytes(self) -> bytes:
        """Serialise for a cache file; :meth:`from_bytes` reads it on any machine."""
        icounts, samples, sizes = map(_little, (self.deliveries.icounts, self.profile.icounts, self.profile.sizes))
        head = _CACHE_HEAD.pack(
            _CACHE_MAGIC,
            self.version,
            self.ended,
            self.size_bytes,
            self.total,
            self.char_writes,
            len(icounts),
            len(self.shutdowns),
            len(samples),
        )
        shutdowns = b"".join(
            _CACHE_SHUTDOWN.pack(event.icount, SHUTDOWN_CAUSES.index(event.cause)) for event in self.shutdowns
        )
        body = head + icounts.tobytes() + self.deliveries.kinds + shutdowns + samples.tobytes() + sizes.tobytes()
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
        _, version, ended, size_bytes, total, char_writes, delivered, shut, sampled = _CACHE_HEAD.unpack_from(body)
        kinds_at = _CACHE_HEAD.size + 8 * delivered
        shutdowns_at = kinds_at + delivered
        samples_at = shutdowns_at + shut * _CACHE_SHUTDOWN.size
        sizes_at = samples_at + 8 * sampled
        if len(body) != sizes_at + 8 * sampled:
            raise foreign
        icounts = _little(array("Q", body[_CACHE_HEAD.size : kinds_at]))
        profile = Profile(_little(array("Q", body[samples_at:sizes_at])), _little(array("Q", body[sizes_at:])))
        shutdowns = tuple(
            Shutdown(icount, SHUTDOWN_CAUSES[cause])
            for icount, cause in _CACHE_SHUTDOWN.iter_unpack(body[shutdowns_at:samples_at])
        )
        deliveries = Deliveries(icounts, body[kinds_at:shutdowns_at])
        return cls(version, size_bytes, total, ended, deliveries, shutdowns, char_writes, profile)


def _little(numbers: array[int]) -> array[int]:
    """``numbers`` in the byte order of the cache file, or from there."""
    numbers = array("Q", numbers)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


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


def describe_damage(path: Path, damage: Damage, icount: int, partial: LogSummary | None = None) -> DamagedLog:
    """Return the error to raise for ``damage`` found in the log at ``path`` after ``icount`` instructions."""
    error = TruncatedLog if damage.is_cut else CorruptLog
    return error(
        f"The replay log {path} is damaged at byte {damage.offset:,}, after {icount:,} instructions: "
        f"{damage}. Copy it again from where it was recorded, or record again; "
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
        file = open_regular(path)
    except OSError as error:
        raise LogError(f"The replay log {path} cannot be opened: {error.strerror}.") from error
    except RecordingError as error:
        raise LogError(str(error)) from None
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


# By id: bytes to skip for the events of which a summary needs nothing but their size; 0 for all others.
_SKIPPED = bytes(
    0
    if kind in {Kind.INSTRUCTION, Kind.INTERRUPT, Kind.EXCEPTION, Kind.CHAR_WRITE, Kind.END}
    or Kind.SHUTDOWN <= kind < Kind.CHAR_WRITE
    else FIXED_SIZES.get(kind, 0)
    for kind in range(256)
)


def summarise(path: Path) -> LogSummary:
    """Read the whole replay log at ``path`` once and return what it tells.

    :raises TruncatedLog: the file ends before its END event; ``partial`` says what could be read.
    :raises CorruptLog: an event is none that QEMU writes, or something follows the END event.
    :raises LogError: as :func:`read_header`.
    """
    with open_log(path) as (file, version), mmap(file.fileno(), 0, access=ACCESS_READ) as data:
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
    skipped, u32 = _SKIPPED, struct.Struct(">I").unpack_from
    char_write, first_shutdown, end = int(Kind.CHAR_WRITE), int(Kind.SHUTDOWN), int(Kind.END)

    samples, sizes = array("Q"), array("Q")
    spacing = size // MOST_SAMPLES + 1
    sample_at = offset + spacing

    def summary() -> LogSummary:
        deliveries = Deliveries(icounts, bytes(kinds))
        samples.append(total)
        sizes.append(offset)
        profile = Profile(samples, sizes)
        return LogSummary(version, size, total, ended, deliveries, tuple(shutdowns), char_writes, profile)

    kind = 0
    try:
        while offset < size:
            if offset >= sample_at:
                samples.append(total)
                sizes.append(offset)
                sample_at = offset + spacing
            kind = data[offset]
            if not kind:  # INSTRUCTION: every second event
                if run := RUN(data, offset):
                    end_of_run = run.end()
                    total += instructions_in_run(data[offset:end_of_run])
                    offset = end_of_run
                    continue
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
                if len(icounts) > MOST_AT_ONCE and icounts[-MOST_AT_ONCE - 1] == total:
                    raise Damage(offset, f"more than {MOST_AT_ONCE:,} interrupts come at one instruction")
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
