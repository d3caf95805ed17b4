"""GDB's own recorder (``record full``) on QEMU's stub: it notes what each instruction changes, and undoes that.

It knows of time only what it has recorded itself, instruction by instruction, so it is given a stretch of
:data:`~benchmarks.places.RECORDED` instructions in which nothing is delivered.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.guests import Guest
from benchmarks.native import Native
from benchmarks.places import RECORDED, Condition, Place
from benchmarks.processes import with_children
from benchmarks.rival import CannotDo
from rrdbg.links.mi import Gdb
from rrdbg.links.registers import read_description
from rrdbg.model.hits.stop import Breakpoint, Point

_LINUX = '<feature name="org.gnu.gdb.i386.linux"><reg name="orig_rax" bitsize="64" type="int"/></feature>'
"""It wants its target to be a Linux process, which has one register more."""


class Recorder(Native):
    """A GDB with the stretch that ends at ``quiet`` in its recorder; it stands at that end when it is opened."""

    def __init__(self, guest: Guest, quiet: int) -> None:
        super().__init__(guest, snapshots=False)
        self.name = "record full"
        self._quiet = quiet
        self._recorder: Gdb | None = None
        self._documents: Mapping[str, str] = {}
        self._seconds = 0.0

    async def open(self) -> None:
        """Replay up to the stretch, and record it."""
        await super().open()
        _, self._documents = await read_description(self._packets)
        await super().seek(self._quiet - RECORDED)
        await self._packets.close()
        self._client = None
        gdb = self._recorder = await Gdb.start("gdb", str(self._guest.symbols))
        await self._prepare(gdb)
        await gdb.console(f"target remote {self._socket}")
        await gdb.console("set record full insn-number-max unlimited")
        await gdb.console("record full")
        began = time.monotonic()
        answer = await gdb.execute(f'-interpreter-exec console "stepi {RECORDED}"')
        self._seconds = time.monotonic() - began
        if "Process record" in answer.text:
            raise CannotDo(f"stops: {answer.text.strip().splitlines()[0]}")

    async def _prepare(self, gdb: Gdb) -> None:
        folder = Path(self._socket).parent
        for name, text in self._documents.items():
            text = text.replace("<target>", '<target xmlns:xi="http://www.w3.org/2001/XInclude">')
            (folder / name).write_text(text.replace("</target>", f"{_LINUX}</target>"))
        await gdb.console("set osabi GNU/Linux")
        await gdb.console(f"set tdesc filename {folder / 'target.xml'}")

    async def close(self) -> None:
        """End GDB, and QEMU."""
        if self._recorder:
            gdb, self._recorder = self._recorder, None
            await gdb.close()
        await super().close()

    @property
    def _gdb(self) -> Gdb:
        assert self._recorder is not None, "it is open"
        return self._recorder

    async def where(self) -> Place:
        """The place in the recorder's list, counted in the recording's instructions."""
        found = await self._gdb.console("info record")
        at = next((line for line in found.splitlines() if line.startswith("Current instruction number is")), None)
        number = int(at.split()[-1].rstrip(".")) if at else RECORDED
        return Place(self._quiet - RECORDED + number, int(await self._gdb.value("(unsigned long)$pc")))

    async def seek(self, icount: int) -> None:
        """``record goto``, as far as the recorder's list goes."""
        number = icount - self._quiet + RECORDED
        if not 0 <= number <= RECORDED:
            raise CannotDo(f"records {RECORDED / self._seconds:,.0f} instructions a second")
        if (await self.where()).icount != icount:
            await self._gdb.console("record goto end" if number == RECORDED else f"record goto {number}")

    async def step_back(self) -> None:
        """``reverse-stepi``."""
        await self._gdb.console("reverse-stepi")

    async def run_back(self, point: Point) -> None:
        """``reverse-continue`` to a breakpoint."""
        if not isinstance(point, Breakpoint):
            raise CannotDo("not in the stretch")
        await self._gdb.console(f"tbreak *{point.address:#x}")
        await self._gdb.console("reverse-continue")

    async def run_back_where(self, address: int, condition: Condition, seconds: float) -> float:
        """It has no such stretch in its list."""
        raise CannotDo("not in the stretch")

    async def bisect(self, condition: Condition, end: int, seconds: float) -> float:
        """It has no such stretch in its list."""
        raise CannotDo("not in the stretch")

    @asynccontextmanager
    async def gdb(self) -> AsyncIterator[Gdb]:
        """The GDB itself."""
        yield self._gdb

    async def trouble(self) -> str:
        """Nothing is known but that it is slow."""
        return "no answer"

    def pids(self) -> list[int]:
        """QEMU and GDB, all that we have started."""
        return with_children(os.getpid())[1:]

    def disk_bytes(self) -> int:
        """It keeps everything in memory."""
        return 0
