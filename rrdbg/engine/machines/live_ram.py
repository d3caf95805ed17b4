"""RAM that is shared with a QEMU, so that the machine can be saved in milliseconds.

It lies in a file without a name (memfd) that QEMU maps, too. Beside it lies a copy as it was when the machine was saved
last: what differs is what must be kept. Comparing takes 10 ms for 75 MB, and hashing only meets what has changed. Where
a machine begins with a snapshot, long pieces of that are mapped over both, and what the guest writes there is fetched.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from array import array
from collections.abc import Iterator, Sequence

from rrdbg.links.mapped_ram import MappedRam
from rrdbg.model.machine.ram import PAGE, RamBlock
from rrdbg.store.files import punch
from rrdbg.store.page_table import in_use
from rrdbg.store.pages import LONG, SUM_BYTES, Pages, Piece, page_sum, stretches

_BLOCKS = (256 * PAGE, 16 * PAGE, PAGE)
"""What is compared at once: each call may have to wait for Python's other threads, so most of it in large pieces."""

_ZEROS = 64 * PAGE
"""What is given back at least."""

_NOTHING = bytes(_ZEROS)

_KEPT_AT_ONCE = 4096
"""Pages that are handed to the disk together: 16 MB."""

_compare = ctypes.CDLL(None).memcmp
_copy = ctypes.CDLL(None).memcpy
_map = ctypes.CDLL(None, use_errno=True).mmap
_map.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_map.restype = ctypes.c_void_p
_WRITABLE = mmap.PROT_READ | mmap.PROT_WRITE
_OVER = mmap.MAP_PRIVATE | 0x10
"""In the place of what is mapped there (``MAP_FIXED``)."""

_compare.argtypes = _copy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_copy.restype = None


class LiveRam:
    """The RAM of one machine, empty at first; its QEMU opens :attr:`file`."""

    def __init__(self, block: RamBlock) -> None:
        self._size = block.size
        self.file = os.memfd_create("rrdbg-ram", os.MFD_CLOEXEC)
        """A file descriptor."""
        os.ftruncate(self.file, block.size)
        self._ram = mmap.mmap(self.file, block.size)
        self._saved = mmap.mmap(-1, block.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._addresses = [ctypes.addressof(ctypes.c_char.from_buffer(each)) for each in (self._ram, self._saved)]
        self.table = array("I", bytes(4 * block.pages))
        """The slots of what was saved last."""
        self.origin: array[int] | None = None
        """Those of which some are mapped, if it began with a snapshot."""
        self._sums = bytearray(SUM_BYTES * block.pages)
        self._over: MappedRam | None = None  # of a QEMU that has mapped something over ours
        self._owed = set[int]()  # taken and not kept: the disk may have been full

    def fill(self, table: array[int], pages: Pages, ram: MappedRam, file: int | None) -> None:
        """Have it hold what ``table`` names in ``pages``, before the QEMU has looked at it whose ``ram`` it is.

        Long pieces are mapped into that from what it has open as ``file``, privately and over ours: then it neither
        takes 2 s a gigabyte, nor memory but for what the guest writes, which is all that has to be compared later.

        :raises RecordingError: a page is missing.
        :raises QmpError: the memory of QEMU cannot be reached.
        """
        self.table, self.origin = array("I", table), table
        pieces = list(pages.pieces(table, in_use(table)))
        long = [piece for piece in pieces if _is_long(piece) and piece.first and pages.holds(piece)]
        over = file is not None and ram.map(file, [(piece.first, piece.slot - 1, piece.count) for piece in long])
        self._over = ram if over else None
        hidden = {piece.first for piece in long} if over else set()
        for first, run in pages.runs(piece for piece in pieces if piece.first not in hidden):
            os.pwrite(self.file, run, first * PAGE)
        self._have_saved(pieces, pages)
        self._sums = pages.sums(table)

    def _have_saved(self, pieces: Sequence[Piece], pages: Pages) -> None:
        """Have the copy hold ``pieces`` of ``pages``: long ones are mapped into it, which takes no memory."""
        file = pages.open()
        if file is None:
            return
        with os.fdopen(file, "rb") as opened:
            for piece in filter(_is_long, pieces):
                address, offset = self._addresses[1] + piece.first * PAGE, (piece.slot - 1) * PAGE
                if _map(address, piece.count * PAGE, _WRITABLE, _OVER, opened.fileno(), offset) != address:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
        for first, run in pages.runs(piece for piece in pieces if not _is_long(piece)):
            self._saved[first * PAGE : first * PAGE + len(run)] = run

    def give_back_zeros(self) -> None:
        """Have what holds zeros take no room, while its QEMU stands still; nothing of it was saved before.

        QEMU 7.2 to 11.1 reads all of RAM as it loads a snapshot, by which all of the file comes to be there: comparing
        256 MB would take 37 ms each time, of a guest that uses a third of it.
        """
        run = 0
        for start, end in list(self._data()):
            for at in range(start, end, _ZEROS):
                size = min(_ZEROS, end - at)
                if not _compare(self._addresses[0] + at, _NOTHING, size):
                    run += size
                elif run:
                    punch(self.file, at - run, run)
                    run = 0
            if run:
                punch(self.file, end - run, run)
                run = 0

    def take(self) -> None:
        """Copy the pages that have changed since the last time; the guest may go on. They must be kept before the next.

        There may be gigabytes of them.
        """
        changed = list(self._changed())
        ram, saved = self._addresses
        for first, count in stretches(changed):
            _copy(saved + first * PAGE, ram + first * PAGE, count * PAGE)
        self._owed.update(changed)

    def keep(self, pages: Pages) -> None:
        """Put what was taken into ``pages``, and into :attr:`table`.

        :raises OSError: the disk is full.
        """
        with memoryview(self._saved) as saved:
            owed = sorted(self._owed)
            # Also of a RAM that was never written to, of which there are no pages: then there are empty files.
            for start in range(0, max(len(owed), 1), _KEPT_AT_ONCE):
                numbers = owed[start : start + _KEPT_AT_ONCE]
                contents = [saved[number * PAGE : (number + 1) * PAGE] for number in numbers]
                self._keep(numbers, [(page_sum(content), content) for content in contents], pages)

    def _keep(self, numbers: Sequence[int], summed: Sequence[tuple[bytes, memoryview]], pages: Pages) -> None:
        slots = pages.add(summed)
        for number, (checksum, _), slot in zip(numbers, summed, slots, strict=True):
            self._sums[number * SUM_BYTES : (number + 1) * SUM_BYTES] = checksum
            self.table[number] = slot
            self._owed.discard(number)

    @property
    def saved_sums(self) -> bytes:
        """The checksums of all pages as they were saved last."""
        return bytes(self._sums)

    def sums(self) -> bytes:
        """The checksums of all pages as they are now; also while what was taken is being kept."""
        owed = set(self._owed)  # before the checksums: it shrinks as those come to be right
        now = bytearray(self._sums)
        for number in owed.union(self._changed()):
            checksum = page_sum(self._ram[number * PAGE : (number + 1) * PAGE])
            now[number * SUM_BYTES : (number + 1) * SUM_BYTES] = checksum
        return bytes(now)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; it also happens when the machine is forgotten."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def _changed(self) -> Iterator[int]:
        """The numbers of pages that differ from what was saved last."""
        if self._over:
            with memoryview(self._ram) as ram:
                self._over.read_own(ram)
        for start, end in self._data():
            yield from self._differing(start, end, _BLOCKS)

    def _differing(self, start: int, end: int, sizes: Sequence[int]) -> Iterator[int]:
        ram, saved = self._addresses
        size, *smaller = sizes
        for at in range(start, end, size):
            stop = min(at + size, end)
            if _compare(ram + at, saved + at, stop - at):
                if smaller:
                    yield from self._differing(at, stop, smaller)
                else:
                    yield at // PAGE

    @property
    def used(self) -> int:
        """Bytes that were ever written to, in whole stretches."""
        return sum(end - start for start, end in self._data())

    def _data(self) -> Iterator[tuple[int, int]]:
        """Stretches of the file that were ever written to; all else is zeros."""
        end = 0
        while end < self._size:
            try:
                start = os.lseek(self.file, end, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(self.file, start, os.SEEK_HOLE)
            yield start, end


def _is_long(piece: Piece) -> bool:
    return piece.slot > 0 and piece.count >= LONG
