"""One line of progress at the bottom of a terminal, or a line now and then where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_ERASE = "\r\x1b[K"
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 10.0


class ProgressLine:
    """Shows the newest text; :meth:`clear` it before anything else is printed."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._quiet = quiet
        self._shown = False
        self.begin()

    def begin(self) -> None:
        """Work begins, and may be over before a line is worth showing."""
        self._next = time.monotonic() + (0.3 if self._live else _LINE_SECONDS)

    def say(self, text: str) -> None:
        """Print ``text`` to stay."""
        if not self._quiet:
            self.clear()
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def show(self, text: str) -> None:
        """Show ``text``, unless something was shown just now or the work has only begun."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + (_REDRAW_SECONDS if self._live else _LINE_SECONDS)
        self._stream.write(f"{_ERASE}{text}" if self._live else f"{text}\n")
        self._stream.flush()
        self._shown = self._live

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._shown = False
