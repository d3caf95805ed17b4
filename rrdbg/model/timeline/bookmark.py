"""A place on the timeline that a user has given a name."""

from __future__ import annotations

from dataclasses import dataclass

from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Bookmark:
    """``note`` says in the user's words why the place matters."""

    position: Position
    note: str = ""
