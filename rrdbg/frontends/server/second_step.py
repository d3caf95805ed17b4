"""The step that GDB makes of its own behind a watchpoint's stop, and that must not be made.

Hardware of some architectures stops before the access. So a GDB that debugs one of them takes the watchpoint away,
steps once, and looks at the value then; going back, it steps back. On the timeline the access has been made when GDB
is told, or been undone: with that step it would show the instruction behind the right one, or before it, and miss
what that step writes. (In a what-if it is QEMU that tells, which does so before the access, as hardware does.)
"""

from __future__ import annotations

import re

from rrdbg.frontends.server.points import PointSet

_STEPS_ONCE_MORE = re.compile(r"arm|aarch64|riscv|mips|ppc|hppa")
"""QEMU's names of the architectures for which GDB has ``have_nonsteppable_watchpoint``."""

_WATCHED = re.compile(rb"T05.*;[ra]?watch:([0-9a-f]+);")

_RELOCATES = b"qRelocInsn+"
"""What no client but GDB offers. LLDB is told by ``qHostInfo`` that it need not step."""


class SecondStep:
    """Knows GDB's own step on an ``architecture``, by what went before."""

    def __init__(self, architecture: str) -> None:
        self._possible = _STEPS_ONCE_MORE.match(architecture) is not None
        self._by_gdb = False
        self._told: tuple[int, object] | None = None

    def client(self, words: list[bytes]) -> None:
        """The client has said in ``qSupported`` what it understands."""
        self._by_gdb = _RELOCATES in words

    def forget(self) -> None:
        """The client has gone."""
        self._by_gdb, self._told = False, None

    def replied(self, reply: bytes, state: object) -> None:
        """A movement was answered so; ``state`` is where the guest stands."""
        match = _WATCHED.match(reply) if self._possible and self._by_gdb else None
        self._told = (int(match[1], 16), state) if match else None

    def is_next(self, packet: bytes, points: PointSet, state: object) -> bool:
        """Whether a movement is that step: the first one behind the stop, with the watchpoint taken away for it."""
        told, self._told = self._told, None
        if told is None or told[1] != state or not packet.startswith((b"vCont;s", b"vCont;S", b"s", b"S", b"bs")):
            return False
        return all(point.address != told[0] for point in points.watchpoints)
