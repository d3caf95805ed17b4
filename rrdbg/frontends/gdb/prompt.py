"""The position in GDB's prompt, as in ``37% 538,112,334 (gdb)``."""

from __future__ import annotations

from collections.abc import Callable

import gdb

from rrdbg.errors import RrdbgError
from rrdbg.frontends.gdb.client import Client

Hook = Callable[[str], str | None]


class Prompt:
    """Stands in front of whatever prompt there is, another extension's, too."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before: Hook | None = None
        self._base = self._last = ""
        self.shown = False
        """True if it is switched on."""

    def switch(self, on: bool) -> None:
        """Show the position, or no longer."""
        if on and not self.shown:
            self._before = gdb.prompt_hook
            gdb.prompt_hook = self._hook
        self.shown = on
        # Another extension may have put itself in front of us since: then we only fall silent.

    def _hook(self, current: str) -> str | None:
        # GDB keeps what a hook gave as its prompt and passes it in next time.
        if current != self._last:
            self._base = current
        theirs = self._before(self._base) if self._before else None
        base = self._base if theirs is None else theirs
        self._last = f"{self._position()}{base}" if self.shown else base
        return self._last

    def _position(self) -> str:
        try:
            channel = self._client.find()
        except RrdbgError:
            return ""  # 'rrdbg when' tells why
        if channel is None:
            return ""
        place = channel.place
        return f"{'what-if from ' if place.what_if else ''}{int(place.percent)}% {place.text} "
