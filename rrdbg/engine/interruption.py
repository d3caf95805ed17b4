"""A Ctrl-C while nothing moves yet: what is told of where that was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rrdbg.errors import Interrupted


@contextmanager
def interrupted_at(where: Callable[[], object], doing: str) -> Iterator[None]:
    """Make a cancellation of the current task inside an :class:`Interrupted` that tells the position, ``where()``.

    ``doing`` says what was going on, as in "the recording was being opened". Movements tell this by themselves.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        raise Interrupted(f"Interrupted at {where()}, while {doing}.") from None
