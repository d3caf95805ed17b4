"""The other sessions in this recording, told to the pages as they come, move and go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from rrdbg.model.travel.client import Client
from rrdbg.store.clients import Comings, Presence

_log = logging.getLogger(__name__)

REST_SECONDS = 0.05
"""Before what has come is told: a session that steps moves 300 times a second, and for a page 20 times are enough.

And the kernel tells of a process's end just before it lets go of its lock, so who looks at once still finds it there.
"""


class Others:
    """Calls ``tell`` with the sessions beside that of ``presence``, whenever one has come, moved or gone."""

    def __init__(self, presence: Presence | None, tell: Callable[[list[Client]], None]) -> None:
        self._presence = presence
        self._tell = tell
        self._comings: Comings | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._more = False  # something has come since it was set

    @property
    def now(self) -> list[Client]:
        """Who is there now."""
        return self._presence.others() if self._presence else []

    def watch(self) -> None:
        """Begin to tell, if that has not begun; where this machine cannot, what is told stays as it is."""
        if self._comings or self._presence is None:
            return
        try:
            self._comings = Comings(self._presence)
        except OSError as error:
            _log.warning("Other sessions' cursors do not move in the page: %s.", error.strerror)
            return
        asyncio.get_running_loop().add_reader(self._comings.file, self._came)

    def close(self) -> None:
        """Tell no more."""
        if self._soon:
            self._soon.cancel()
        if self._comings:
            asyncio.get_running_loop().remove_reader(self._comings.file)
            self._comings.close()
            self._comings = None

    def _came(self) -> None:
        assert self._comings
        self._comings.taken()
        if self._soon:
            self._more = True
        else:
            self._soon = asyncio.get_running_loop().call_later(REST_SECONDS, self._tell_now)

    def _tell_now(self) -> None:
        self._soon = None
        self._tell(self.now)
        if self._more:
            self._more = False
            self._soon = asyncio.get_running_loop().call_later(REST_SECONDS, self._tell_now)
