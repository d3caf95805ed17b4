"""RAM that is shared with a QEMU, so that the machine can be saved in milliseconds.

It lies in a file without a name (memfd) that QEMU maps, too. Beside it lies a copy as it was when the machine was saved
last: what differs is what must be kept. Comparing takes 10 ms for 75 MB, and hashing only meets what has changed. Long
pieces of what is kept already may be mapped over both, and what the guest writes there is fetched.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set

from rrdbg.links.mapped_ram import MappedRam
from rrdbg.links.process import kept_clear
from rrdbg.model.machine.ram import PAGE, RamBlock
from rrdbg.store.files import punch
from rrdbg.store.page_table import in_use
from rrdbg.store.pages import SUM_BYTES, Pages, Piece, page_sum, stretches

_BLOCKS = (256 * PAGE, 16 * PAGE, PAGE)
"""What is compared at once: each call may have to wait for Python's other threads, so most of it in large pieces."""

_ZEROS = 64 * PAGE
"""What is given back at least."""

_NOTHING = bytes(_ZEROS)

_MUCH = 64 << 20
"""Bytes that are compared each time and have not changed, before they are looked through for what can be mapped."""

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
    """The RAM of one machine, empty at first; its QEMU opens :attr:`file`.

    If ``pages`` is given QEMU has the recording's pages open by that file descriptor, which is closed with this.
    """

    def __init__(self, block: RamBlock, pages: int | None = None) -> None:
        self._size = block.size
        self.file = -1
        self.pages: int | None = None
        self.file = kept_clear(os.memfd_create("rrdbg-ram", os.MFD_CLOEXEC))
        """A file descriptor."""
        os.ftruncate(self.file, block.size)
        self._ram = mmap.mmap(self.file, block.size)
        self._saved = mmap.mmap(-1, block.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._addresses = [ctypes.addressof(ctypes.c_char.from_buffer(each)) for each in (self._ram, self._saved)]
        self.table = array("I", bytes(4 * block.pages))
        """The slots of what was saved last."""
        self._sums = bytearray(SUM_BYTES * block.pages)
        self._there: MappedRam | None = None
        self._over = False  # something is mapped over ours
        self._stays = 0  # bytes that were left as they are when last something was
        self._owed = set[int]()  # taken and not kept: the disk may have been full
        self.pages = pages

    def belongs_to(self, pid: int) -> None:
        """Its QEMU is the process ``pid``, and has it open.

        :raises QmpError: it has not.
        """
        self._there = MappedRam(pid, self.file, self._size)

    @property
    def needed(self) -> array[int] | None:
        """The slots that must stay as they are, of which some are mapped or about to be named; None for none."""
        return self.table if self._over or self._owed else None

    def lost(self, gone: Set[int]) -> None:
        """The slots ``gone`` are no longer kept: what was in them is kept anew with the next snapshot."""
        self._owed.update(number for number, slot in enumerate(self.table) if slot in gone)

    def fill(self, table: array[int], pages: Pages) -> None:
        """Have it hold what ``table`` names in ``pages``, before its QEMU has looked at it.

        Long pieces are mapped over it, see :meth:`_map_over`: to copy a gigabyte takes 2 s.

        :raises RecordingError: a page is missing.
        :raises QmpError: the memory of QEMU cannot be reached.
        """
        self.table = array("I", table)
        pieces = list(pages.pieces(table, in_use(table)))
        hidden = self._map_over(pieces, pages)
        left = [piece for piece in pieces if piece.first not in hidden]
        for first, run in pages.runs(left):
            os.pwrite(self.file, run, first * PAGE)
            self._saved[first * PAGE : first * PAGE + len(run)] = run
        self._sums = pages.sums(table)

    def _map_over(self, pieces: Sequence[Piece], pages: Pages) -> frozenset[int]:
        """Map the long ones of ``pieces`` of ``pages`` over it in QEMU, and into the copy; at which pages they begin.

        QEMU writes to them privately, and takes no memory but for that, which is all that is compared later.
        """
        long = [piece for piece in pages.parted(pieces)[0] if piece.slot]
        if not long or self._there is None or self.pages is None:
            return frozenset()
        if not self._there.map(self.pages, [(piece.first, piece.slot - 1, piece.count) for piece in long]):
            return frozenset()
        self._over = True
        for piece in long:
            address, length = self._addresses[1] + piece.first * PAGE, piece.count * PAGE
            if _map(address, length, _WRITABLE, _OVER, self.pages, (piece.slot - 1) * PAGE) != address:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            punch(self.file, piece.first * PAGE, length)
        return frozenset(piece.first for piece in long)

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

    def take(self, pages: Pages) -> None:
        """Copy the pages that have changed since the last time; the guest may go on. They must be kept before the next.

        There may be gigabytes of them. If many have not changed they are mapped from where they are kept, in ``pages``:
        else all that a guest has ever written is compared each time, 0.5 s for 2 GB.

        :raises QmpError: the memory of QEMU cannot be reached.
        """
        changed = list(self._changed())
        ram, saved = self._addresses
        for first, count in stretches(changed):
            _copy(saved + first * PAGE, ram + first * PAGE, count * PAGE)
        self._owed.update(changed)
        if self.used - len(self._owed) * PAGE - self._stays > _MUCH:
            self._map_over(list(pages.pieces(self.table, self._as_kept())), pages)
            self._stays = self.used - len(self._owed) * PAGE

    def _as_kept(self) -> Iterator[range]:
        """The stretches of what was ever written to that are as they are kept, in order."""
        owed = sorted(self._owed)
        for start, end in list(self._data()):
            first = start // PAGE
            for number in owed[bisect_left(owed, first) : bisect_left(owed, end // PAGE)]:
                if number > first:
                    yield range(first, number)
                first = number + 1
            if end // PAGE > first:
                yield range(first, end // PAGE)

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
        if self.pages is not None:
            os.close(self.pages)
            self.pages = None

    def _changed(self) -> Iterator[int]:
        """The numbers of pages that differ from what was saved last."""
        if self._over:
            assert self._there
            with memoryview(self._ram) as ram:
                self._there.read_own(ram)
        for start, end in self._data():
            yield from self._differing(start, end, _BLOCKS)

    def _differing(self, start: int, end: int, sizes: Sequence[int]) -> Iterator[int]:
        ram, saved = self._addresses
        size, *smaller = sizes
        for at in range(start, end, size):
            stop = min(at + size, end)
            if _compare(ram + at, saved + at, stop - at):
                first, last = at // PAGE, stop // PAGE
                if smaller and not any(self.table[first:last]):
                    yield from range(first, last)  # new: to look at each page takes longer than to keep some zeros
                elif smaller:
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
