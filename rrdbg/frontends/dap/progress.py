"""What an editor shows while something takes long, with a button to end it."""

from __future__ import annotations

import asyncio
import time

from rrdbg.engine.machines.progress import Progress
from rrdbg.frontends.dap.channel import Channel

_PATIENCE = 0.5
"""Seconds before anything is shown, and between two messages."""


class Progressing:
    """The progress of the request ``seq``, called ``title``, if it takes long; :meth:`close` when it is done.

    A client that has not said that it can show that gets nothing (``wanted``).
    """

    def __init__(self, channel: Channel, seq: int, title: str, *, wanted: bool) -> None:
        self._channel = channel
        self._seq = seq
        self._title = title
        self._wanted = wanted
        self._next = time.monotonic() + _PATIENCE
        self._sending: asyncio.Task[None] | None = None
        self._shown = False

    @property
    def id(self) -> str:
        """What a client calls it by."""
        return f"rrdbg-{self._seq}"

    def show(self, progress: Progress) -> None:
        """A machine has come so far; may be called very often."""
        now = time.monotonic()
        if not self._wanted or now < self._next or (self._sending and not self._sending.done()):
            return
        self._next = now + _PATIENCE
        left = max(progress.whole - progress.done, 0.0)
        body = {
            "progressId": self.id,
            "message": f"at {progress.icount:,}, {left:.0f} s of replay left at most",
            "percentage": round(100 * progress.share),
        }
        name = "progressUpdate" if self._shown else "progressStart"
        if not self._shown:
            body |= {"title": self._title, "requestId": self._seq, "cancellable": True}
        self._shown = True
        self._sending = asyncio.create_task(self._channel.event(name, body))

    async def close(self) -> None:
        """It is over."""
        if self._sending:
            await self._sending
        if self._shown:
            await self._channel.event("progressEnd", {"progressId": self.id})
