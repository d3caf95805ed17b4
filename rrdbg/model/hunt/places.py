"""Where in a recording the runs of a hunt begin, and how much too late its timers are there.

Each place is behind an access to shared memory (:mod:`rrdbg.model.hunt.sharing`). There the clock goes on by some ms:
all timers that are due by then interrupt the guest at once, right behind that access and before the next one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from rrdbg.model.hunt.sharing import Touch

LATE_MS = (1, 2, 5, 10)
"""As long may a system management interrupt take from a guest, or its host; a tick or two of most systems."""

_DRAWS = 64
"""Draws that were all made before, after which none is left as far as chance tells."""

Drawn = tuple[int, int]
"""The icount of a place, and by how many ns the clock is later there."""


class Places:
    """The places of ``stretches``, of which each run gets one, and none twice.

    Half of the runs draw a stretch of code between two interrupts first, since a race in what runs often is in many of
    them, and there an instruction that no interrupt executes; half draw any instruction first, since one in what runs
    seldom is in few.
    """

    def __init__(self, stretches: Sequence[Sequence[Touch]]) -> None:
        own = ([touch for touch in stretch if not touch.common] for stretch in stretches)
        self._stretches = [_by_code(stretch) for stretch in own if stretch]
        self._all = _by_code([touch for stretch in stretches for touch in stretch])
        self._drawn: dict[int, tuple[Iterator[Drawn], list[Drawn]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._all))

    @property
    def instructions(self) -> int:
        """How many instructions touch shared memory there."""
        return len(self._all)

    def of_run(self, seed: int, number: int) -> Drawn | None:
        """What run ``number`` of the hunt with ``seed`` has, counted from 1 on; None when nothing new is left."""
        draws, drawn = self._drawn.setdefault(seed, (self._draws(seed), []))
        while len(drawn) < number and (one := next(draws, None)):
            drawn.append(one)
        return drawn[number - 1] if number <= len(drawn) else None

    def _draws(self, seed: int) -> Iterator[Drawn]:
        dice, made = random.Random(f"rrdbg hunt {seed} places"), set[Drawn]()
        while self._all:
            for _ in range(_DRAWS):
                instructions = dice.choice(self._stretches) if self._stretches and dice.random() < 0.5 else self._all
                one = dice.choice(dice.choice(instructions)).icount, dice.choice(LATE_MS) * 1_000_000
                if one not in made:
                    break
            else:
                return
            made.add(one)
            yield one


def _by_code(touches: Sequence[Touch]) -> list[list[Touch]]:
    """``touches`` by instructions."""
    found: dict[int, list[Touch]] = {}
    for touch in touches:
        found.setdefault(touch.pc, []).append(touch)
    return list(found.values())
