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
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.store.files import punch
from rrdbg.store.opening import is_inside, open_inside, read_inside
from rrdbg.store.page_table import together

PAGE = 4096
SUM_BYTES = 16
NO_SUM = bytes(SUM_BYTES)
"""Of a page of zeros."""

LONG = 16
"""Pages in a piece that is better mapped than copied."""

_CHUNK = 1024
_MOST_SUMS = 1 << 32
_ZEROS = bytes(PAGE)
_MOST_ZEROS = 512
_NOTHING = bytes(_MOST_ZEROS * PAGE)


def page_sum(page: bytes | memoryview) -> bytes:
    """The checksum of a page."""
    if page == _ZEROS:
        return NO_SUM
    return hashlib.blake2b(page, digest_size=SUM_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Piece:
    """``count`` pages of RAM from the number ``first`` on, which lie in the slots from ``slot`` on; all zeros if 0."""

    first: int
    slot: int
    count: int


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

    def pieces(self, table: array[int], stretches: Iterable[range]) -> Iterator[Piece]:
        """Where the pages of ``stretches``, which are in order, lie by ``table``, as few pieces as can be.

        What was saved together lies together: of the 5,000 pages in which two snapshots of a Linux boot differ there
        are 1,500 pieces, and each piece costs some microseconds.
        """
        for stretch in stretches:
            first = stretch.start
            while first < stretch.stop:
                count = together(table, first, stretch.stop)
                yield Piece(first, table[first], count)
                first += count

    def runs(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, memoryview]]:
        """The contents of ``pieces``, each with the number of its first page; many zeros come as several.

        :raises RecordingError: one of them is not there.
        """
        data = memoryview(self._mapped())
        for piece in pieces:
            most = piece.count if piece.slot else _MOST_ZEROS
            for done in range(0, piece.count, most):
                yield piece.first + done, self._content(data, piece.slot, min(most, piece.count - done))

    def summed_runs(
        self, table: array[int], stretches: Iterable[range]
    ) -> Iterator[tuple[int, memoryview, bytes | memoryview]]:
        """The same of ``stretches`` by ``table``, each piece with the checksums of its pages, one after another.

        :raises RecordingError: one of them is not there.
        """
        sums = memoryview(self._all_sums())
        for first, run in self.runs(self.pieces(table, stretches)):
            slot, size = table[first], len(run) // PAGE * SUM_BYTES
            known = sums[(slot - 1) * SUM_BYTES : (slot - 1) * SUM_BYTES + size] if slot else bytes(size)
            if len(known) != size:
                raise self._too_short()
            yield first, run, known

    def open(self) -> int | None:
        """A file descriptor to map the pages by, slot N from ``(N - 1) * PAGE`` on; None if there are none.

        :raises RecordingError: it is no regular file.
        """
        try:
            with open_inside(self._folder, self._file.name) as file:
                return os.dup(file.fileno())
        except FileNotFoundError:
            return None

    def parted(self, pieces: Iterable[Piece]) -> tuple[list[Piece], list[Piece]]:
        """``pieces`` that are better mapped over a process's RAM, and those that are better copied.

        What begins at the first page is copied: by what is mapped there the RAM is found. And what is not all there: a
        process that looks behind the end of a file it has mapped is ended.
        """
        there = len(self._mapped())
        long: list[Piece] = []
        short: list[Piece] = []
        for piece in pieces:
            whole = not piece.slot or (piece.slot - 1 + piece.count) * PAGE <= there
            (long if piece.count >= LONG and piece.first and whole else short).append(piece)
        return long, short

    def _content(self, data: memoryview, slot: int, count: int) -> memoryview:
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

    def keep_only(self, tables: Iterable[array[int]]) -> frozenset[int]:
        """Give back the room of all slots that none of ``tables`` names; which these were."""
        named = {0}
        for table in tables:
            named.update(table)
        count = self._count()
        gone = [slot for slot in range(1, count + 1) if slot not in named]
        if not gone:
            return frozenset()
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
        return frozenset(gone)

    def prepare(self) -> None:
        """Have the files there, so that they can be opened before there are any pages.

        :raises OSError: the disk is full.
        """
        if not self._file.exists():
            self.add(())

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
