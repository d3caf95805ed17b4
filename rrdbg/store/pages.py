"""``ram/pages.bin``: the pages of guest RAM that snapshots are made of, each kept once.

A snapshot has a table with a slot number for each page of RAM, 0 for a page of zeros. Slot N is the N-th page in the
file, and ``pages.sum`` holds its checksum, by which a page that comes again is recognised. Slots are only ever added:
after a crash there are some that no table names, which cost room and nothing else. What no table names any more becomes
a hole in the file, and its checksum zeros.

Invariant: a page is in ``pages.bin`` before its checksum is in ``pages.sum``, and both before a table names it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.store.files import punch, write_atomically
from rrdbg.store.opening import is_inside, open_inside, read_inside

PAGE = 4096
SUM_BYTES = 16
NO_SUM = bytes(SUM_BYTES)
"""Of a page of zeros."""

_CHUNK = 1024
_PIECE = 32
_MOST_TABLE = 1 << 28
"""Bytes of a packed table; one of 64 GiB of RAM has 67 million unpacked."""

_MOST_SUMS = 1 << 32
_ZEROS = bytes(PAGE)
_MOST_ZEROS = 512
_NOTHING = bytes(_MOST_ZEROS * PAGE)

Table = array
"""Slots by page number (``array("I")``)."""


def page_sum(page: bytes | memoryview) -> bytes:
    """The checksum of a page."""
    if page == _ZEROS:
        return NO_SUM
    return hashlib.blake2b(page, digest_size=SUM_BYTES).digest()


def write_table(path: Path, table: array[int]) -> None:
    """Write a table, all or nothing."""
    little = array("I", table)
    if sys.byteorder == "big":
        little.byteswap()
    write_atomically(path, zlib.compress(little.tobytes(), 1))


def read_table(path: Path, pages: int) -> array[int]:
    """Read the table of a machine with so many ``pages``.

    :raises RecordingError: it is missing or damaged.
    """
    try:
        reader = zlib.decompressobj()
        data = reader.decompress(read_inside(path.parent, path.name, _MOST_TABLE), 4 * pages + 1)
    except (OSError, zlib.error) as error:
        raise RecordingError(f"{path} cannot be read ({error}); 'rrdbg index' makes the snapshot again.") from None
    if len(data) != 4 * pages or not reader.eof:
        raise RecordingError(f"{path} is damaged; 'rrdbg index' makes the snapshot again.")
    table = array("I", data)
    if sys.byteorder == "big":
        table.byteswap()
    return table


def in_use(table: array[int]) -> Iterator[int]:
    """The numbers of the pages that hold anything but zeros, in order."""
    return (number for number, slot in enumerate(table) if slot)


def differing(table: array[int], other: array[int]) -> Iterator[int]:
    """The numbers of the pages in which two tables differ, in order."""
    # Most of a large guest is the same: comparing a thousand at once takes a microsecond.
    for start in _unlike(table, other, range(0, len(table), _CHUNK), _CHUNK):
        for piece in _unlike(table, other, range(start, min(start + _CHUNK, len(table)), _PIECE), _PIECE):
            mine, theirs = table[piece : piece + _PIECE], other[piece : piece + _PIECE]
            for number, (one, two) in enumerate(zip(mine, theirs, strict=True), piece):
                if one != two:
                    yield number


def _unlike(table: array[int], other: array[int], starts: Iterable[int], size: int) -> Iterator[int]:
    return (start for start in starts if table[start : start + size] != other[start : start + size])


class Pages:
    """The pages in the folder ``folder``, to which others may add some, too, each in its ``turn``."""

    def __init__(self, folder: Path, turn: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._folder = folder
        self._turn = turn
        self._file = folder / "pages.bin"
        self._sums = folder / "pages.sum"
        self._slots: dict[bytes, int] | None = None
        self._known_slots = 0
        self._map: mmap.mmap | None = None

    @property
    def size(self) -> int:
        """Bytes that they take on disk."""
        return sum(path.stat().st_blocks * 512 for path in (self._file, self._sums) if path.exists())

    def add(self, pages: Iterable[tuple[bytes, bytes | memoryview]]) -> list[int]:
        """The slots of ``pages``, given as (checksum, content), which are kept from now on; 0 for pages of zeros.

        :raises OSError: the disk is full; then nothing has changed.
        """
        with self._turn():
            return self._add(pages)

    def _add(self, pages: Iterable[tuple[bytes, bytes | memoryview]]) -> list[int]:
        slots, count = self._known()
        found, new = [], []
        for checksum, content in pages:
            if checksum == NO_SUM:
                found.append(0)
                continue
            slot = slots.get(checksum)
            if slot is None:
                new.append((checksum, content))
                slot = slots[checksum] = count + len(new)
            found.append(slot)
        # A board may leave all of this RAM empty; without the files none of its snapshots is believed.
        if new or not self._file.exists():
            self._folder.mkdir(exist_ok=True)
            try:
                _append(self._file, count * PAGE, b"".join(content for _, content in new))
                _append(self._sums, count * SUM_BYTES, b"".join(checksum for checksum, _ in new))
            except BaseException:
                self._slots = None
                raise
        self._known_slots = count + len(new)
        return found

    def runs(self, table: array[int], numbers: Iterable[int]) -> Iterator[tuple[int, memoryview]]:
        """The contents that ``table`` names for the pages ``numbers``, which are in order, as few pieces as can be.

        Each comes with the number of its first page. What was saved together lies together: of the 5,000 pages in
        which two snapshots of a Linux boot differ there are 1,500 pieces, and each piece costs some microseconds.

        :raises RecordingError: one of them is not there.
        """
        data = memoryview(self._mapped())
        first = slot = count = 0
        for number in numbers:
            here = table[number]
            expected = slot + count if slot else 0
            if count and number == first + count and here == expected and (slot or count < _MOST_ZEROS):
                count += 1
                continue
            if count:
                yield first, self._piece(data, slot, count)
            first, slot, count = number, here, 1
        if count:
            yield first, self._piece(data, slot, count)

    def summed_runs(
        self, table: array[int], numbers: Iterable[int]
    ) -> Iterator[tuple[int, memoryview, bytes | memoryview]]:
        """The same, each piece with the checksums of its pages, one after another.

        :raises RecordingError: one of them is not there.
        """
        sums = memoryview(self._all_sums())
        for first, run in self.runs(table, numbers):
            slot, size = table[first], len(run) // PAGE * SUM_BYTES
            known = sums[(slot - 1) * SUM_BYTES : (slot - 1) * SUM_BYTES + size] if slot else bytes(size)
            if len(known) != size:
                raise self._too_short()
            yield first, run, known

    def _piece(self, data: memoryview, slot: int, count: int) -> memoryview:
        if not slot:
            return memoryview(_NOTHING)[: count * PAGE]
        view = data[(slot - 1) * PAGE : (slot - 1 + count) * PAGE]
        if len(view) != count * PAGE:
            raise RecordingError(f"{self._file} is too short; 'rrdbg index' makes the snapshots again.")
        return view

    def sums(self, slots: Sequence[int]) -> bytearray:
        """The checksums of ``slots``, one after another.

        :raises RecordingError: one of them is not there.
        """
        data = self._all_sums()
        if max(slots, default=0) * SUM_BYTES > len(data):
            raise self._too_short()
        data = NO_SUM + data
        return bytearray(b"".join([data[slot * SUM_BYTES : (slot + 1) * SUM_BYTES] for slot in slots]))

    def _too_short(self) -> RecordingError:
        return RecordingError(f"{self._sums} is too short; 'rrdbg index' makes the snapshots again.")

    def keep_only(self, tables: Iterable[array[int]]) -> None:
        """Give back the room of all slots that none of ``tables`` names."""
        named = {0}
        for table in tables:
            named.update(table)
        count = self._count()
        gone = [slot for slot in range(1, count + 1) if slot not in named]
        if not gone:
            return
        self._slots = None
        sums = os.open(self._sums, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        file = os.open(self._file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            # First nobody may take them for what they were.
            for slot in gone:
                os.pwrite(sums, NO_SUM, (slot - 1) * SUM_BYTES)
            for start, length in stretches(gone):
                punch(file, (start - 1) * PAGE, length * PAGE)
        finally:
            os.close(sums)
            os.close(file)

    def close(self) -> None:
        """Let go of the file."""
        self._unmap()

    def _count(self) -> int:
        """How many slots are whole."""
        try:
            return min(self._file.stat().st_size // PAGE, self._sums.stat().st_size // SUM_BYTES)
        except FileNotFoundError:
            return 0

    def _all_sums(self) -> bytes:
        there = is_inside(self._folder, self._sums.name)
        return read_inside(self._folder, self._sums.name, _MOST_SUMS) if there else b""

    def _known(self) -> tuple[dict[bytes, int], int]:
        """The slots by their checksums, with those that others have added since, and how many there are."""
        count = self._count()
        if self._slots is None:
            self._slots, self._known_slots = {}, 0
        if self._known_slots < count:
            data = self._all_sums()
            for slot in range(self._known_slots, count):
                self._slots[data[slot * SUM_BYTES : (slot + 1) * SUM_BYTES]] = slot + 1
            self._slots.pop(NO_SUM, None)
            self._known_slots = count
        return self._slots, count

    def _mapped(self) -> mmap.mmap | bytes:
        size = self._count() * PAGE
        if not size:
            return b""
        if self._map is None or len(self._map) < size:
            self._unmap()
            with open_inside(self._folder, self._file.name) as file:
                self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        return self._map

    def _unmap(self) -> None:
        # Views that somebody still has keep it, so it is let go rather than closed.
        self._map = None


def pages_are_whole(folder: Path) -> bool:
    """Whether each page in ``folder`` has its checksum; 0.8 GB/s.

    :raises OSError: a file is missing.
    :raises RecordingError: one is no regular file.
    """
    with open_inside(folder, "pages.bin") as pages, open_inside(folder, "pages.sum") as sums:
        while expected := sums.read(SUM_BYTES * _CHUNK):
            data = pages.read(PAGE * (len(expected) // SUM_BYTES))
            for number in range(len(expected) // SUM_BYTES):
                wanted = expected[number * SUM_BYTES : (number + 1) * SUM_BYTES]
                # What no table names any more has no checksum, and may hold anything.
                if wanted != NO_SUM and page_sum(data[number * PAGE : (number + 1) * PAGE]) != wanted:
                    return False
    return True


def _append(path: Path, at: int, data: bytes) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(file, at)
        done = 0
        while done < len(data):
            done += os.pwrite(file, memoryview(data)[done:], at + done)
    finally:
        os.close(file)


def stretches(slots: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Numbers in order as stretches of them, each by its first and how many they are."""
    start = length = 0
    for slot in slots:
        if length and slot == start + length:
            length += 1
        else:
            if length:
                yield start, length
            start, length = slot, 1
    if length:
        yield start, length
