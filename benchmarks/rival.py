"""Who is measured: one thing that can go backwards in a recording, whatever it is made of."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from benchmarks.places import Condition, Place
from rrdbg.links.mi import Gdb
from rrdbg.model.hits.stop import Point


class CannotDo(Exception):
    """The rival has no way to do this; the message says why, in a few words for the table."""


class Wrong(Exception):
    """It answered, and not what the forward run shows; the message says what, in a few words for the table."""


class Rival(Protocol):
    """Opened on a recording, it stands somewhere and moves; what it cannot do raises :class:`CannotDo`.

    A movement that finds nothing ends at the start, at icount 0. What is made of many movements may be left early when
    ``seconds`` are over, and returns which share of it was done.
    """

    @property
    def name(self) -> str:
        """What the table calls it."""

    async def open(self) -> None:
        """Start its processes; it stands anywhere."""

    async def close(self) -> None:
        """End them, also those that hang."""

    def remove(self) -> None:
        """Remove its files."""

    async def where(self) -> Place:
        """Where it stands."""

    async def seek(self, icount: int) -> None:
        """Jump to a plain icount."""

    async def step_back(self) -> None:
        """Go back by one instruction."""

    async def run_back(self, point: Point) -> None:
        """Go back to the last time that ``point`` was hit."""

    async def run_back_where(self, address: int, condition: Condition, seconds: float) -> float:
        """Go back to the last time that ``address`` was executed while ``condition`` held."""

    async def bisect(self, condition: Condition, end: int, seconds: float) -> float:
        """Go to the first icount up to ``end`` at which ``condition`` holds, or to the instruction before."""

    def gdb(self) -> AbstractAsyncContextManager[Gdb]:
        """A GDB on it, with the guest's symbols, where it stands now; nothing else may be asked of it meanwhile."""

    async def trouble(self) -> str:
        """What is the matter after it has given no answer for a long time, in a few words."""

    def pids(self) -> list[int]:
        """The processes that it consists of."""

    def disk_bytes(self) -> int:
        """What it keeps on disk to go backwards from."""
