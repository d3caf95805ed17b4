"""The operations: what a user might type, with random places in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from benchmarks.soak.landmarks import Landmark

_NAMES = ("red", "green", "blue", "white")
_SHORT = 2_000_000
"""Instructions in a stretch that is searched for something frequent."""

Operation = tuple[str, list[str]]
"""What it is called, and the lines that are typed."""


class Operations:
    """Draws operations for a guest that ends at ``end``; ``landmarks`` give addresses that it comes by."""

    def __init__(self, end: int, landmarks: Sequence[Landmark], choice: random.Random, *, gdb: bool) -> None:
        self._end = end
        self._landmarks = landmarks
        self._choice = choice
        self._snapshots = 0
        common: dict[str, tuple[int, Callable[[], list[str]]]] = {
            "seek to an icount": (16, lambda: [f"seek {self._place()}"]),
            "seek to a share": (6, lambda: [f"seek {choice.uniform(0, 100):.2f}%"]),
            "seek a little": (4, lambda: [f"seek {choice.choice('+-')}{choice.randrange(1, 3_000_000)}"]),
            "stepi": (10, lambda: [f"stepi {self._steps()}"]),
            "reverse-stepi": (10, lambda: [f"reverse-stepi {self._steps()}"]),
            "continue": (6, lambda: [self._point(), "continue", "delete"]),
            "reverse-continue": (8, lambda: [self._point(), "reverse-continue", "delete"]),
            "back and forward": (3, lambda: ["back", "forward"]),
            "bookmark": (2, self._bookmark),
            "checkpoint": (2, lambda: ["checkpoint", f"seek {self._place()}", "restart 1"]),
            "last": (4, lambda: [f"last *{self._mark().stack:#x}:8"]),
            "writes": (3, lambda: [f"writes *{self._mark().stack:#x}:8 {self._stretch()}"]),
            "tprintf": (3, lambda: [f'tprintf *{self._mark().pc:#x},"%lx",$rax {self._stretch()}']),
            "events": (2, lambda: [f"events interrupt {self._place()}", "events"]),
            "next and previous event": (3, lambda: ["next-event", "previous-event interrupt"]),
            "console": (2, lambda: ["console", 'seek console "rrdbg"']),
            "snapshot": (1, self._snapshot),
            "look": (4, lambda: ["info registers", f"x/16gx {self._mark().stack:#x}", "x/4i $pc", "info timeline"]),
        }
        with_gdb: dict[str, tuple[int, Callable[[], list[str]]]] = {
            "conditions": (6, self._conditions),
            "what-if": (4, lambda: ["what-if on", "stepi 20", "set var $rbx = 1", "x/4gx $rsp", "what-if off"]),
            "GDB's looks": (4, lambda: ["bt 5", "info registers rip", "print $sp", "x/8i $pc"]),
            "GDB's steps": (3, lambda: ["stepi", "stepi", "reverse-stepi", "nexti", "print $pc"]),
        }
        self._all = common | (with_gdb if gdb else {})

    def draw(self) -> Operation:
        """One operation."""
        (name,) = self._choice.choices(list(self._all), [weight for weight, _ in self._all.values()])
        return name, self._all[name][1]()

    def _place(self) -> int:
        return self._choice.randrange(self._end + 1)

    def _mark(self) -> Landmark:
        return self._choice.choice(self._landmarks)

    def _steps(self) -> int:
        return self._choice.choice((1, 1, 1, 10, 100, 500))

    def _stretch(self) -> str:
        low = self._place()
        return f"from {low} to {min(low + self._choice.randrange(_SHORT), self._end)}"

    def _point(self) -> str:
        mark = self._mark()
        kind = self._choice.choice(("break", "break", "watch", "rwatch", "awatch"))
        return f"break *{mark.pc:#x}" if kind == "break" else f"{kind} *{mark.stack:#x}:8"

    def _conditions(self) -> list[str]:
        condition = self._choice.choice(("$rax == 0", "$rsp & 8", "$rcx > 0x1000", "1 == 2"))
        movement = self._choice.choice(("continue", "reverse-continue"))
        return [f"break *{self._mark().pc:#x} if {condition}", movement, "delete"]

    def _bookmark(self) -> list[str]:
        name = self._choice.choice(_NAMES)
        return [f"bookmark {name} a note", f"seek {self._place()}", f"seek @{name}"]

    def _snapshot(self) -> list[str]:
        """The user's own are kept, whatever the budget, so there are few."""
        self._snapshots += 1
        return [f"snapshot soak-{self._snapshots}"] if self._snapshots <= len(_NAMES) else ["info snapshots"]
