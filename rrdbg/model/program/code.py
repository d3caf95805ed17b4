"""The functions of a program."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """A function ``name``; ``size`` is 0 where nobody tells it."""

    address: int
    size: int
    name: str


class Functions:
    """All of a program, in the order of their addresses."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self.all = functions
        self._starts = [function.address for function in functions]

    def at(self, address: int) -> Function | None:
        """The function that ``address`` is in."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        found = self.all[index]
        if found.size:
            return found if address < found.address + found.size else None
        return found
