"""Waiting for a running guest to stop, and noticing one that never will.

A replaying QEMU sleeps in its main loop while the guest idles, and each of its wake-ups takes the replay to about the
next event of the log. So during a run that is not over at once QEMU is kept awake by a timer of its own, and is given
a processor to keep to; nothing here sets its pace, what is asked now and then only draws a bar.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from rrdbg.errors import Divergence, QemuDied, RspError, Stalled
from rrdbg.links.process_state import is_stopped
from rrdbg.links.qmp import QmpLink
from rrdbg.links.rsp import RspClient, StopReply

PATIENCE_SECONDS = 20.0
"""How long a running guest may stand at one icount before it counts as derailed; idle time is skipped in replay."""

SHORT_SECONDS = 0.005
"""A run that is over by then is left alone: what makes long ones quick costs 1 ms."""

_POLL_SECONDS = 0.2
_HALT_SECONDS = 3.0
"""How long a guest may take to stop when it is told to; it takes some milliseconds."""

ProgressCallback = Callable[[int], None]

T = TypeVar("T")


class Process(Protocol):
    """What a machine needs of the QEMU that it runs in."""

    @property
    def qmp(self) -> QmpLink:
        """Its QMP link."""

    @property
    def pid(self) -> int:
        """The process id; 0 if it is not known."""

    @property
    def alive(self) -> bool:
        """False once it serves this machine no more."""

    @property
    def remedy(self) -> str:
        """What the user can do when the replay no longer follows its log, as the end of a sentence."""

    def long_run(self) -> AbstractContextManager[None]:
        """A context for a run that takes long, in which QEMU gets what makes it quick."""

    def main_loop_first(self) -> AbstractContextManager[None]:
        """A context in which QEMU's main loop interrupts the guest as soon as it has anything to do, if it can."""

    async def guard(self, work: Awaitable[T]) -> T:
        """Await ``work``, but give up when QEMU ends.

        :raises QemuDied: it did.
        """

    async def kill(self) -> None:
        """Take it away from the machine; harmless if that has happened already."""

    async def death(self) -> QemuDied:
        """The error that tells what became of it, once a connection to it has broken."""


class Watchdog:
    """Watches the guest of ``process``, whose gdbstub ``rsp`` is connected to, while it runs."""

    def __init__(self, process: Process, rsp: RspClient) -> None:
        self._process = process
        self._rsp = rsp
        self.patience = PATIENCE_SECONDS
        """Seconds that a running guest may stand at one icount."""

    async def until_stopped(self, began: int, on_progress: ProgressCallback | None) -> StopReply:
        """Wait for the guest, which went on from icount ``began``, to stop; ``on_progress`` is told where it is.

        If this is cancelled, or ``on_progress`` raises, the guest is stopped first.

        :raises Divergence: the guest runs but its icount does not move, or falls back.
        :raises Stalled: somebody has stopped QEMU by a signal.
        """
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHORT_SECONDS):
                    return await self._rsp.stopped()
            return await self._watch(began, on_progress)
        except BaseException:
            await self.halt(self._rsp.stopped())
            raise

    async def halt(self, waiting: Awaitable[StopReply]) -> None:
        """Stop the guest wherever it is, and take the answer that ``waiting`` gives; end a QEMU that does not obey."""
        try:
            self._rsp.interrupt()
            await asyncio.wait_for(waiting, _HALT_SECONDS)
        except (TimeoutError, Stalled, QemuDied, RspError):
            await self._process.kill()

    def check_not_stopped(self) -> None:
        """Say so if QEMU stands still since somebody stopped it by a signal.

        :raises Stalled: he did.
        """
        if is_stopped(self._process.pid):
            raise Stalled(
                f"QEMU (pid {self._process.pid}) was stopped by a signal, such as SIGSTOP; {self._process.remedy}."
            )

    async def _watch(self, began: int, on_progress: ProgressCallback | None) -> StopReply:
        seen, since = -1, time.monotonic()
        while True:
            self.check_not_stopped()
            await self._process.qmp.keep_awake()
            icount = await self._process.qmp.icount()
            now = time.monotonic()
            if icount < began:
                raise Divergence(
                    f"The replay fell back from {began:,} to {icount:,}, and no longer follows its log; "
                    f"{self._process.remedy}."
                )
            if icount != seen:
                seen, since = icount, now
            elif now - since > self.patience:
                raise Divergence(
                    f"The replay stands still at {icount:,}: the guest is running, but for "
                    f"{self.patience:.0f} s it has executed nothing. It no longer follows its log; "
                    f"{self._process.remedy}."
                )
            if on_progress:
                on_progress(icount)
            # Only while nothing is asked: the monitor's thread waits until nobody else wants the processor, and where
            # other programs do it would not answer for seconds.
            with self._process.long_run(), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    return await self._rsp.stopped()
