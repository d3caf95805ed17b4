"""A mark: something at a place of the timeline that is worth being shown and gone to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Mark:
    """``text`` at ``position``; with a ``count`` above 1 the first of that many, which go up to ``last``.

    ``value`` is what a drawing makes visible as a height, if it has one: bytes for a snapshot.
    """

    position: Position
    text: str = ""
    value: float | None = None
    count: int = 1
    last: Position | None = None

    @property
    def end(self) -> Position:
        """The position of the last of them."""
        return self.last or self.position

    def with_next(self, other: Mark) -> Mark:
        """This mark and a later one as a single mark."""
        return replace(self, count=self.count + other.count, last=other.end)


def gather(marks: Iterable[Mark], most: int, end: Position) -> tuple[Mark, ...]:
    """``marks``, which come in order, as at most ``most`` marks.

    While they are no more, each stays for itself. Otherwise neighbours in the same of equal cells of the timeline are
    made one; the cells grow until it suffices. No more than ``most`` marks are in memory at any time.
    """
    kept: list[Mark] = []
    width = 0
    for mark in marks:
        if width and kept and _same_cell(kept[-1], mark, width):
            kept[-1] = kept[-1].with_next(mark)
            continue
        kept.append(mark)
        while len(kept) > most:
            width = max(2 * width, end.icount // (2 * most), 1)
            kept = _merged(kept, width)
    return tuple(kept)


def _merged(marks: Iterable[Mark], width: int) -> list[Mark]:
    kept: list[Mark] = []
    for mark in marks:
        if kept and _same_cell(kept[-1], mark, width):
            kept[-1] = kept[-1].with_next(mark)
        else:
            kept.append(mark)
    return kept


def _same_cell(first: Mark, other: Mark, width: int) -> bool:
    return first.position.icount // width == other.position.icount // width
