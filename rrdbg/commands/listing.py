"""Long lists that are told as they are found: what an interruption leaves of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from rrdbg.commands.session import Session
from rrdbg.errors import Interrupted
from rrdbg.model.timeline.position import Position


class Listing:
    """How far a query of ``session`` that begins at ``start`` has searched."""

    def __init__(self, session: Session, start: Position) -> None:
        self._session = session
        self._unfinished = 0
        self.reached = start
        """All before it is searched, and told."""

    def told(self, position: Position, *, again: bool = False) -> None:
        """What is at ``position`` was told; ``again`` says that a search from there would find it once more."""
        deliveries = self._session.replay.timeline.deliveries
        beyond = again and deliveries.is_plain(position.icount)
        self.reached = max(self.reached, Position(position.icount + 1) if beyond else position)

    def searched(self, position: Position, unfinished: int) -> None:
        """All before ``position`` is searched and told, but for so many that had begun and were not over there."""
        self.reached = max(self.reached, position)
        self._unfinished = unfinished

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Make an interruption inside say how far was searched; what was told so far can still be gone to.

        :raises Interrupted: in place of any other.
        """
        try:
            yield
        except (Interrupted, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task and isinstance(error, asyncio.CancelledError):
                task.uncancel()
            raise Interrupted(f"Interrupted: {self._sentence}.") from None

    @property
    def _sentence(self) -> str:
        left = f", where {self._unfinished:,} had begun and were not over" if self._unfinished else ""
        return f"searched up to {self.reached}{left}; go on with 'from {self.reached}'"
