"""Guest RAM that a QEMU of ours has mapped from a file: where it lies in the process, and which pages are its own.

A private mapping shows the file's pages until they are written to; from then on they are the process's own. Linux tells
which these are (/proc/PID/pagemap), and lets a process's parent write there (/proc/PID/mem, proc(5)).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rrdbg.errors import QmpError
from rrdbg.links.tracee import Tracee

PAGE = 4096
"""Bytes in a page, which is what RAM is saved by."""

_ENTRY = 8
"""Bytes in an entry of pagemap, of which the last one begins with three bits: present, swapped out, page of a file."""

_AT_ONCE = 1 << 28
"""Bytes in one call, which takes 2 GB at most."""

_OWN = bytes(top >> 5 in (0b100, 0b010, 0b110) for top in range(256))
_OWN_RUN = re.compile(b"\1+")


class MappedRam:
    """The ``size`` bytes that the process ``pid`` has mapped from the file that is open here as ``file``.

    :raises QmpError: it has not.
    """

    def __init__(self, pid: int, file: int, size: int) -> None:
        self._pid = pid
        self.size = size
        """Bytes."""
        self.address = _address(pid, file)
        """Where it begins in the process."""

    def write(self, runs: Iterable[tuple[int, memoryview]]) -> None:
        """Put ``runs`` of pages, each with the number of its first one, into the process.

        :raises QmpError: that is not allowed here.
        """
        with self._memory(os.O_RDWR) as memory:
            for first, run in runs:
                _write_all(memory, run, self.address + first * PAGE)

    def map(self, file: int, pieces: Sequence[tuple[int, int, int]]) -> bool:
        """Have the process map ``pieces`` of what it has open as ``file``, as its own; False if that cannot be done.

        Each is the number of its first page in RAM, that of its first page in the file, negative for zeros, and how
        many pages they are. RAM must stay mapped from its own file in some place.
        """
        if not Tracee.possible:
            return False
        try:
            with Tracee(self._pid) as held:
                for first, there, count in pieces:
                    where = (file, there * PAGE) if there >= 0 else (-1, 0)
                    held.map(self.address + first * PAGE, count * PAGE, *where)
        except PermissionError:
            return False  # some containers allow to write to a child's memory, and this not
        except OSError as error:
            raise _not_allowed(self._pid, error) from None
        return True

    def own_pages(self) -> list[range]:
        """The stretches of pages that the process, or we, have written to since they were mapped, in order.

        :raises QmpError: that is not told here.
        """
        try:
            with Path(f"/proc/{self._pid}/pagemap").open("rb", buffering=0) as file:
                file.seek(self.address // PAGE * _ENTRY)
                data = file.read(self.size // PAGE * _ENTRY)
        except OSError as error:
            raise _not_allowed(self._pid, error) from None
        # A gigabyte has 262,144 pages: they are looked through in C.
        own = (data or b"")[_ENTRY - 1 :: _ENTRY].translate(_OWN)
        return [range(*run.span()) for run in _OWN_RUN.finditer(own)]

    def read_own(self, into: memoryview) -> None:
        """Read those pages into ``into``, which is as large as the RAM, each to its place.

        :raises QmpError: that is not allowed here.
        """
        own = self.own_pages()
        with self._memory(os.O_RDONLY) as memory:
            for stretch in own:
                for start in range(stretch.start * PAGE, stretch.stop * PAGE, _AT_ONCE):
                    part = into[start : min(start + _AT_ONCE, stretch.stop * PAGE)]
                    if os.preadv(memory, [part], self.address + start) != len(part):
                        raise OSError(errno.EIO, os.strerror(errno.EIO))

    @contextmanager
    def reading(self) -> Iterator[Callable[[int, int], bytes]]:
        """Gives what reads so many pages, from the one of a number on.

        :raises QmpError: that is not allowed here.
        """
        with self._memory(os.O_RDONLY) as memory:
            yield lambda first, count: os.pread(memory, count * PAGE, self.address + first * PAGE)

    @contextmanager
    def _memory(self, way: int) -> Iterator[int]:
        try:
            memory = os.open(f"/proc/{self._pid}/mem", way | os.O_CLOEXEC)
            try:
                yield memory
            finally:
                os.close(memory)
        except OSError as error:
            raise _not_allowed(self._pid, error) from None


def _address(pid: int, file: int) -> int:
    inode = os.fstat(file).st_ino
    device = os.fstat(file).st_dev
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}"
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError as error:
        raise _not_allowed(pid, error) from None
    for line in lines:
        where, _, offset, on, number, *_ = line.split(maxsplit=5)
        if int(number) == inode and on == wanted:
            return int(where.partition("-")[0], 16) - int(offset, 16)
    raise QmpError(f"QEMU (pid {pid}) has not mapped its RAM from the file that it was given.")


def _write_all(memory: int, run: memoryview, address: int) -> None:
    done = os.pwrite(memory, run, address)
    if done != len(run):
        raise OSError(f"only {done} bytes of {len(run)} could be written")


def _not_allowed(pid: int, error: OSError) -> QmpError:
    return QmpError(
        f"The memory of QEMU (pid {pid}) cannot be reached: {error.strerror or error}. The kernel setting "
        "yama.ptrace_scope may forbid it (0 and 1 allow it); RRDBG_SNAPSHOTS=loadvm travels without."
    )
