"""How far a long command is, on one line of the terminal that is cleared in the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import gdb

from rrdbg.frontends.gdb.channel import Json

_QUIET_SECONDS = 1.0
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """The line; not shown where standard error is no terminal, nor in GDB's TUI, which draws the screen itself."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def show(self, share: float | None) -> None:
        """Say that ``share`` (0 to 1) is done."""
        seconds = time.monotonic() - self._began
        if share is not None and seconds >= _QUIET_SECONDS and _on_terminal():
            self._shown = True
            self._write(f"{_CLEAR}[{100 * share:.0f}% done after {seconds:.0f} s; Ctrl-C stops]")

    def around(self, show: Callable[[Json], None]) -> Callable[[Json], None]:
        """``show``, with the line out of its way."""

        def shown(result: Json) -> None:
            self._clear()
            show(result)

        return shown

    def _clear(self) -> None:
        if self._shown:
            self._shown = False
            self._write(_CLEAR)

    @staticmethod
    def _write(text: str) -> None:
        gdb.write(text, gdb.STDERR)
        gdb.flush(gdb.STDERR)


def _on_terminal() -> bool:
    try:
        return os.isatty(sys.__stderr__.fileno()) and not _in_tui() if sys.__stderr__ else False
    except (OSError, ValueError):
        return False


def _in_tui() -> bool:
    try:
        return "not active" not in gdb.execute("info win", to_string=True)
    except gdb.error:
        return False
