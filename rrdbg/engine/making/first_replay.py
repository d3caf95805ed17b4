"""A replay from the machine's start, where no snapshot is needed, for a recording that rrdbg did not make.

It leaves what the recording lacks: the snapshot at icount 0, the console, the guest's disks as they were at the end;
and a checksum of the guest near the end, for a replay from that snapshot to be compared with. No gdbstub is connected:
without ``rrsnapshot`` QEMU would save a snapshot of its own then, in the guest's disks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rrdbg.engine.machines.digest import monitor_digest
from rrdbg.errors import Divergence, QemuDied, QmpError
from rrdbg.links.process import QemuProcess
from rrdbg.links.scheduling import Processors
from rrdbg.links.watchdog import PATIENCE_SECONDS

_POLL_SECONDS = 0.05


class FirstReplay:
    """One such replay; make it with :meth:`start`, end it with :meth:`close`."""

    patience = PATIENCE_SECONDS
    """Seconds that the running guest may stand at one icount."""

    def __init__(self, process: QemuProcess, on_progress: Callable[[int], None]) -> None:
        self._process = process
        self._on_progress = on_progress

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        files: Mapping[int, Path],
        on_progress: Callable[[int], None],
        confined: Sequence[str] = (),
    ) -> FirstReplay:
        """Start QEMU with ``command``, ``files`` open in it; ``on_progress`` is called with icounts on the way.

        It is ``confined`` by those words (:func:`rrdbg.links.confinement.words_of`).

        :raises QemuLaunchError: it did not start.
        """
        process = await QemuProcess.start(command, files=files, processors=Processors(), confined=confined)
        return cls(process, on_progress)

    async def save(self, tag: str, nodes: Sequence[str]) -> None:
        """Save the machine as ``tag`` in ``nodes``, its state in the first of them.

        :raises QmpError: QEMU cannot.
        """
        await self._process.guard(self._process.qmp.save_snapshot(tag, nodes[0], nodes))

    async def run_to(self, icount: int) -> None:
        """Go on until ``icount`` instructions have been executed.

        :raises Divergence: it does not come there; the message tells what it does, as the end of a sentence.
        """
        qmp = self._process.qmp
        if await self._process.guard(qmp.icount()) == icount:
            return
        try:
            await qmp.break_at(icount)
            await qmp.resume()
            await self._process.guard(self._watch())
            reached = await qmp.icount()
        except QemuDied as error:
            raise Divergence(f"it ends QEMU ({error})") from None
        except QmpError as error:
            raise Divergence(f"it cannot go on: {error}") from None
        if reached != icount:
            raise Divergence(f"it ends at {reached:,} instructions")

    async def digest(self) -> str:
        """The checksum of registers and RAM here (:func:`~rrdbg.engine.machines.digest.monitor_digest`).

        :raises QmpError: the memory cannot be read here.
        """
        return await monitor_digest(self._process.qmp, self._process.pid)

    async def quit(self) -> None:
        """End QEMU in order, so that all that the guest wrote is in its images."""
        await self._process.quit()

    async def close(self) -> None:
        """End QEMU at once, if it has not ended."""
        await self._process.kill()

    async def _watch(self) -> None:
        """Wait until the guest stops; it is asked, since QEMU 10 and 11 do not always send the event STOP here."""
        seen, since = -1, time.monotonic()
        while await self._process.qmp.run_state() == "running":
            await self._process.qmp.keep_awake()
            with self._process.long_run():
                await asyncio.sleep(_POLL_SECONDS)
            icount, now = await self._process.qmp.icount(), time.monotonic()
            if icount != seen:
                seen, since = icount, now
            elif now - since > self.patience and await self._process.qmp.run_state() == "running":
                raise Divergence(f"it stands still at {icount:,} instructions")
            self._on_progress(icount)
