"""The RAM of one of a recording's snapshots, written out as an image that all waiting QEMUs map.

It is made anew whenever it is missing; what it holds says the table beside it.
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass
from pathlib import Path

from rrdbg.links.process import kept_clear
from rrdbg.model.machine.ram import RamBlock
from rrdbg.store.page_table import in_use, read_table, write_table
from rrdbg.store.pages import PAGE, Pages

_IMAGE, _TABLE = "base.ram", "base.pages"


@dataclass(slots=True)
class BaseImage:
    """A base image: open as ``file``, holding what ``table`` names; the recording has it if it is ``kept``."""

    file: int
    table: array[int]
    kept: bool = True
    sums: bytes | None = None
    """The checksums of its pages, once they were asked for: of 4 GiB they take 0.3 s to put together."""

    @classmethod
    def open(cls, folder: Path, block: RamBlock) -> BaseImage:
        """The one in ``folder``, or one of zeros if it has none.

        :raises RecordingError: its table is damaged.
        :raises OSError: there is no room.
        """
        if is_there(folder):
            table = read_table(folder / _TABLE, block.pages)
            return cls(kept_clear(os.open(folder / _IMAGE, os.O_RDONLY | os.O_CLOEXEC)), table)
        file = kept_clear(os.memfd_create("rrdbg-zeros", os.MFD_CLOEXEC))
        os.ftruncate(file, block.size)
        return cls(file, array("I", bytes(4 * block.pages)), kept=False)

    def close(self) -> None:
        """Let go of the file; machines that have mapped it keep it."""
        os.close(self.file)


def is_there(folder: Path) -> bool:
    """Whether ``folder`` has one."""
    return (folder / _IMAGE).exists()


def slots(folder: Path, block: RamBlock) -> array[int] | None:
    """What the one in ``folder`` needs of the pages; None if there is none.

    :raises RecordingError: its table is damaged.
    """
    return read_table(folder / _TABLE, block.pages) if (folder / _TABLE).exists() else None


def make(folder: Path, table: array[int], pages: Pages, draft: Path, *, sealed: bool) -> None:
    """Make the one of ``folder``, of what ``table`` names in ``pages``; ``draft`` is a file for it to be made in.

    It is ``sealed`` for QEMU that insists no more on opening to be written what it only reads.

    :raises OSError: the disk is full.
    """
    size = len(table) * PAGE
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(file, size)
        for first, run in pages.runs(pages.pieces(table, in_use(table))):
            os.pwrite(file, run, first * PAGE)
    finally:
        os.close(file)
    if sealed:
        draft.chmod(0o400)
    # A table without an image is none; an image without its table would be taken for something else.
    write_table(folder / _TABLE, table)
    draft.replace(folder / _IMAGE)
