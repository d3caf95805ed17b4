"""Which code was executed, by blocks, functions and lines, each with the position of its first time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rrdbg.model.program.code import Function
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Block:
    """``size`` bytes of code from ``start`` on, executed first at ``position``.

    That is exact if ``exact``, and else at most some hundred instructions before it.
    """

    start: int
    size: int
    position: Position
    exact: bool

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class ProgramExtent:
    """The code of the program in the file ``path``, from ``start`` up to ``end``."""

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a source file; its first is 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class LineRange:
    """The code from ``start`` up to ``end`` was compiled from ``line``."""

    start: int
    end: int
    line: SourceLine


@dataclass(frozen=True, slots=True)
class CoveredFunction:
    """A function of which ``executed`` bytes were, the first of them at ``position``; exact or not as a block's."""

    position: Position
    function: Function
    executed: int
    exact: bool


class Covered:
    """What ``blocks`` say of code."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = sorted(blocks, key=lambda block: block.start)
        self._starts = [block.start for block in self._blocks]
        self._longest = max((block.size for block in self._blocks), default=0)

    def functions(self, functions: Iterable[Function]) -> list[CoveredFunction]:
        """Those that were executed, in the order of their first time."""
        found = []
        for function in functions:
            inside = list(self._within(function.address, function.address + max(function.size, 1)))
            if inside:
                first = min(inside, key=lambda block: block.position)
                executed = _length(inside, function.address, function.address + function.size)
                found.append(CoveredFunction(first.position, function, executed, first.exact))
        return sorted(found, key=lambda each: (each.position, each.function.address))

    def lines(self, ranges: Iterable[LineRange]) -> dict[SourceLine, Position | None]:
        """Each line that has code, with the position of its first time; None where it was never executed."""
        found: dict[SourceLine, Position | None] = {}
        for each in ranges:
            times = [block.position for block in self._within(each.start, each.end)]
            if known := found.get(each.line):
                times.append(known)
            found[each.line] = min(times, default=None)
        return found

    def _within(self, start: int, end: int) -> Iterator[Block]:
        low, high = bisect_right(self._starts, start - self._longest), bisect_left(self._starts, end)
        return (block for block in self._blocks[low:high] if block.end > start)


def _length(blocks: Sequence[Block], start: int, end: int) -> int:
    """How many bytes of the stretch are in any of ``blocks``, which are in the order of their addresses."""
    total, reached = 0, start
    for block in blocks:
        low, high = max(block.start, reached), min(block.end, end)
        total += max(high - low, 0)
        reached = max(reached, high)
    return total
