"""What others do to a guest that GDB shares with them (``rrdbg serve --shared``), while GDB sits at its prompt.

A thread waits for the server to tell something; GDB's own thread then reads it, since nobody else may ask GDB anything.
"""

from __future__ import annotations

import select
import signal
import threading
from collections.abc import Callable

import gdb

from rrdbg.errors import LinkError
from rrdbg.frontends.gdb.channel import Channel

_TURN_SECONDS = 0.2


class Notices:
    """Waits for those that come through ``channel``; has ``announce`` called, in GDB's thread, where one has come."""

    def __init__(self, channel: Channel, announce: Callable[[], None]) -> None:
        self._channel = channel
        self._announce = announce
        self._read = threading.Event()
        channel.request({"watch": True})
        threading.Thread(target=self._wait, name="rrdbg notices", daemon=True).start()

    def _wait(self) -> None:
        # GDB's signals are for its own thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while self._channel.open:
            try:
                told = select.select((self._channel,), (), (), _TURN_SECONDS)[0]
            except (OSError, ValueError):
                return  # it was closed
            if told and not self._channel.asking:
                self._read.clear()
                gdb.post_event(self._look)
                self._read.wait()

    def _look(self) -> None:
        try:
            if self._channel.open and not self._channel.asking and self._channel.noticed():
                self._announce()
        except LinkError:
            pass  # the server has gone; the next command says so
        finally:
            self._read.set()
