"""Make a movement once more whose QEMU has died under it.

A QEMU may be killed at any moment: by its user, by the kernel for want of memory, by a fault of its own. A movement
that fails leaves the cursor where it was, and a replay is the same each time; so a second try, which starts a new QEMU
there, ends where the first would have. Only if that dies, too, is the user told.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from rrdbg.errors import QemuDied
from rrdbg.model.timeline.position import Position

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Traveller(Protocol):
    """Whose movements can be made again."""

    @property
    def position(self) -> Position:
        """Where its cursor is."""

    @property
    def replaces_qemu(self) -> bool:
        """True if a QEMU that has died is replaced by a new one."""


Self = TypeVar("Self", bound=Traveller)


def again(
    movement: Callable[Concatenate[Self, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Self, P], Coroutine[Any, Any, T]]:
    """Have ``movement``, a method, made a second time if its QEMU dies.

    :raises QemuDied: both died, or there can be no second one.
    """

    @functools.wraps(movement)
    async def made(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await movement(self, *args, **kwargs)
        except QemuDied as error:
            if not self.replaces_qemu:
                raise
            first = error
        _log.warning("%s A new one takes its place.", first)
        try:
            return await movement(self, *args, **kwargs)
        except QemuDied as second:
            raise QemuDied(
                f"QEMU has ended, and so has the one that was started in its place; the cursor is at {self.position}, "
                f"as before. The first: {first} The second: {second}"
            ) from None

    return made
