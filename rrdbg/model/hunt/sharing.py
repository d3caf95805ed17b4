"""Which memory the guest's code shares with what interrupts it, and where it has just touched that.

A race needs an interrupt between two accesses to shared memory. All instructions between two such accesses are alike to
whoever interrupts there: of some ten thousand instructions only a handful of places remain that a hunt has to try.
Memory is shared where one side reads what the other one has written last; that a stack or a register's place is used
again by the other side is no sharing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_WORD = 3
"""Memory is told apart by words of 2**3 bytes."""


@dataclass(frozen=True, slots=True)
class Touch:
    """The instruction at ``pc`` touches memory; behind it is ``icount``, with nothing to interrupt in between.

    It is ``common`` if what interrupts executes it, too: a lock's, or the scheduler's.
    """

    icount: int
    pc: int
    common: bool = False


class Sharing:
    """Accesses are told to it in their order; :meth:`places` says in the end where shared memory was touched."""

    def __init__(self) -> None:
        self._writer: dict[int, bool] = {}
        self._shared: set[int] = set()
        self._interrupting: set[int] = set()
        self._stretches: list[list[tuple[Touch, int]]] = []

    def runs(self, accesses: Iterable[tuple[Touch, int, bool]]) -> None:
        """A stretch of the code that is interrupted: what it touches, which address, whether it writes that."""
        stretch: list[tuple[Touch, int]] = []
        for touch, address, writes in accesses:
            word = address >> _WORD
            self._note(word, writes, interrupts=False)
            stretch.append((touch, word))
        self._stretches.append(stretch)

    def interrupts(self, accesses: Iterable[tuple[int, int, bool]]) -> None:
        """What has interrupted it: which instruction touches which address, and whether it writes that."""
        for pc, address, writes in accesses:
            self._interrupting.add(pc)
            self._note(address >> _WORD, writes, interrupts=True)

    def _note(self, word: int, writes: bool, *, interrupts: bool) -> None:
        if writes:
            self._writer[word] = interrupts
        elif self._writer.get(word, interrupts) is not interrupts:
            self._shared.add(word)

    def places(self) -> Sequence[Sequence[Touch]]:
        """Of each stretch in which shared memory was touched, where; each icount once."""
        found = []
        for stretch in self._stretches:
            touched = {
                touch.icount: replace(touch, common=touch.pc in self._interrupting)
                for touch, word in stretch
                if word in self._shared
            }
            if touched:
                found.append([*touched.values()])
        return found
