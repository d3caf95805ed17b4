"""A QEMU that waits to be told which snapshot it is to become.

Its RAM is mapped from the recording's base image. Where a snapshot differs from that, long pieces are mapped over it
from the file of the recording's pages, in which they lie one after another: that costs 25 µs each, however long it is,
and memory only for what the guest then writes to. Short ones are copied: to make a page its own costs a process 4 µs.
"""

from __future__ import annotations

import os
import time
from array import array
from dataclasses import dataclass, field

from rrdbg.engine.machines.base_image import BaseImage
from rrdbg.engine.machines.live_ram import LiveRam
from rrdbg.links.machine import Machine
from rrdbg.links.mapped_ram import MappedRam
from rrdbg.store.page_table import differing
from rrdbg.store.pages import PAGE, Pages


@dataclass(slots=True)
class Blank:
    """A waiting QEMU: its ``machine``, the file through which it gets its ``state``, and its RAM."""

    machine: Machine
    state: int
    pages: int | None
    """By which it has the recording's pages open, if it has."""
    base: BaseImage | None
    live: LiveRam | None
    table: array[int] | None = None
    """What its RAM holds, if that is private."""
    since: float = field(default_factory=time.monotonic)

    def hold(self, table: array[int], pages: Pages, most: int | None = None) -> None:
        """Have its RAM hold what ``table`` names in ``pages``, unless more than ``most`` would be copied.

        :raises RecordingError: a page is missing.
        :raises QmpError: its memory cannot be reached.
        """
        if self.live:
            self.live.belongs_to(self.machine.process.pid)
            self.live.fill(table, pages)
            return
        assert self.base is not None
        assert self.table is not None
        pieces = list(pages.pieces(table, differing(table, self.table)))
        long, short = pages.parted(pieces)
        if most is not None and sum(piece.count for piece in short) > most:
            return
        ram = MappedRam(self.machine.process.pid, self.base.file, len(table) * PAGE)
        mapped = self.pages is not None and ram.map(self.pages, [(p.first, p.slot - 1, p.count) for p in long])
        ram.write(pages.runs(short if mapped else pieces))
        self.table = table

    def let_go(self) -> None:
        """Close its files here, which QEMU has open for itself."""
        for file in (self.state, self.pages):
            if file is not None:
                os.close(file)

    async def end(self) -> None:
        """End it."""
        self.let_go()
        await self.machine.close()
