"""The places that a user has been at, gone through like the pages of a browser."""

from __future__ import annotations

from rrdbg.errors import OutOfRange
from rrdbg.model.timeline.position import Position

MOST = 1000
"""Places that are remembered."""


class Visits:
    """A list of places and where in it the user is.

    Whoever goes somewhere new from the middle of it loses what lay ahead.
    """

    def __init__(self) -> None:
        self._places: list[Position] = []
        self._here = -1

    def note(self, position: Position) -> None:
        """The user is at ``position`` now; the place where he is already is not noted again."""
        if self._places and self._places[self._here] == position:
            return
        del self._places[self._here + 1 :]
        self._places.append(position)
        del self._places[:-MOST]
        self._here = len(self._places) - 1

    def go(self, distance: int) -> Position:
        """The place ``distance`` further on, or back where it is negative, which then is where the user is.

        :raises OutOfRange: there are not so many; nothing has changed.
        """
        target = self._here + distance
        if not 0 <= target < len(self._places):
            left = self._here if distance < 0 else len(self._places) - 1 - self._here
            way = "back" if distance < 0 else "forward"
            raise OutOfRange(
                f"There are {left} places to go {way} to." if left else f"There is no place to go {way} to."
            )
        self._here = target
        return self._places[target]
