"""What a user sees while a command takes long: a bar, how long it may still take, and how to end it."""

from __future__ import annotations

import time

from rrdbg.engine.machines.progress import Progress
from rrdbg.frontends.shared.progress import ProgressLine

LONG_SECONDS = 10.0
"""What may take longer is announced."""

_BAR = 16
_SOON = 0.5
_SOON_SECONDS = 3.0
"""So long a bar may say that there are less than half a second left; then that was wrong, and it says so."""

_TELLING = 1.0
"""Seconds of work after which its own speed says more than the price."""


class Waiting:
    """Shows the progress of one command after another on ``line``."""

    def __init__(self, line: ProgressLine) -> None:
        self._line = line
        self._began = 0.0
        self._announced = False
        self._soon_since: float | None = None

    def begin(self) -> None:
        """A command begins."""
        self._began = time.monotonic()
        self._announced = False
        self._soon_since = None
        self._line.begin()

    def end(self) -> None:
        """It has ended, or has something to print."""
        self._line.clear()

    def show(self, progress: Progress) -> None:
        """A machine has come so far."""
        if progress.whole - progress.done >= LONG_SECONDS and not self._announced:
            self._announced = True
            self._line.say(f"This may take {progress.whole - progress.done:.0f} s; Ctrl-C stops it.")
        filled = round(_BAR * progress.share)
        self._line.show(
            f"[{'#' * filled}{'.' * (_BAR - filled)}] {progress.share:4.0%}  at {progress.icount:,}  "
            f"{self._rest(self._left(progress))} (Ctrl-C stops)"
        )

    def _rest(self, left: float) -> str:
        now = time.monotonic()
        if left >= _SOON:
            self._soon_since = None
            return f"{left:.0f} s left"
        self._soon_since = self._soon_since or now
        return "0 s left" if now - self._soon_since <= _SOON_SECONDS else "longer than it seemed"

    def _left(self, progress: Progress) -> float:
        elapsed = time.monotonic() - self._began
        if elapsed > _TELLING and progress.share > 0.05:
            return elapsed / progress.share * (1 - progress.share)
        return progress.whole - progress.done
