"""Standard input, typed to the guest: key by key from a terminal, all of it from a pipe or a file."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import termios
from collections.abc import Callable

_CHUNK = 4096


class Typist:
    """Hands on what comes from standard input, between :meth:`start` and :meth:`stop`.

    A terminal sends each key at once and shows none, as the guest does that; Ctrl-C stays ours, to end the recording.
    """

    def __init__(self, typed: Callable[[bytes], None]) -> None:
        self._typed = typed
        self._fd = sys.stdin.fileno() if sys.stdin else -1
        self._before: list[int | list[bytes | int]] | None = None
        self._reading = False

    def start(self) -> None:
        """Begin; without a standard input nothing happens."""
        if self._fd < 0:
            return
        if os.isatty(self._fd):
            # In the background a terminal would stop us for this.
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                return
            self._before = termios.tcgetattr(self._fd)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, _key_by_key(self._fd))
        elif stat.S_ISREG(os.fstat(self._fd).st_mode):
            # No event tells of a file; it is there as a whole.
            while data := os.read(self._fd, _CHUNK):
                self._typed(data)
            return
        elif stat.S_ISCHR(os.fstat(self._fd).st_mode):
            return  # /dev/null
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        self._reading = True

    def stop(self) -> None:
        """Leave standard input alone, and the terminal as it was."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._reading = False
        if self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
            self._before = None

    def _read(self) -> None:
        data = os.read(self._fd, _CHUNK)
        if data:
            self._typed(data)
        else:
            self.stop()


def _key_by_key(fd: int) -> list[int | list[bytes | int]]:
    mode = termios.tcgetattr(fd)
    mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON)
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    return mode
