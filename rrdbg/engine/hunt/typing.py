"""Types to the guest of a try what is to be typed, later than the guest has asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from rrdbg.model.hunt.keys import Dialogue, Keys

_RETURN = b"\r"


class Typing:
    """Answers what the guest prints by ``write``, each time ``milliseconds`` later; :meth:`close` it."""

    def __init__(self, keys: Sequence[Keys], milliseconds: int, write: Callable[[bytes], None]) -> None:
        self._dialogue = Dialogue(keys)
        self._seconds = milliseconds / 1000
        self._write = write
        self._due: list[asyncio.TimerHandle] = []

    def printed(self, data: bytes) -> None:
        """The guest has printed ``data``."""
        loop = asyncio.get_running_loop()
        for text in self._dialogue.after(data):
            self._due.append(loop.call_later(self._seconds, self._write, text + _RETURN))

    def close(self) -> None:
        """Type no more."""
        for timer in self._due:
            timer.cancel()
