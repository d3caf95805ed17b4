"""What a client is told while its question is worked on."""

from __future__ import annotations

import asyncio
import time

from mcp.server.mcpserver import Context

from rrdbg.engine.machines.progress import Progress

_SECONDS = 1.0
"""From one message to the next, and before the first: most answers are there by then."""


class Reporting:
    """Sends the progress of one question to whoever asked it; the numbers only grow, as the protocol demands."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._next = time.monotonic() + _SECONDS
        self._told = 0.0
        self._sending: asyncio.Task[None] | None = None

    def __call__(self, progress: Progress) -> None:
        """A machine has come so far; may be called very often."""
        now = time.monotonic()
        if now < self._next or progress.share <= self._told or (self._sending and not self._sending.done()):
            return
        self._next, self._told = now + _SECONDS, progress.share
        left = max(progress.whole - progress.done, 0.0)
        message = f"at {progress.icount:,}; at most {left:.0f} s of replay left"
        self._sending = asyncio.create_task(self._context.report_progress(progress.share, 1.0, message))
