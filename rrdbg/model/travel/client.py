"""Who else is at work in a recording."""

from __future__ import annotations

from dataclasses import dataclass

from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Client:
    """A session of the process ``pid``, called ``name`` after the command that it is, with its cursor at ``position``.

    ``key`` tells it from all others.
    """

    key: str
    name: str
    pid: int
    position: Position

    def __str__(self) -> str:
        return f"{self.name}[{self.pid}]"
