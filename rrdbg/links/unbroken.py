"""Work that a cancellation must not leave half done: ending a process, saving a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


async def unbroken(
    work: Coroutine[object, object, T], breaker: Callable[[], Awaitable[object]] | None = None, seconds: float = 5.0
) -> T:
    """Await ``work`` to its end even if we are cancelled meanwhile, twice too; the cancellation is raised after it.

    An error of ``work`` is then the cancellation's cause. If it takes more than ``seconds`` after that, ``breaker`` is
    called once, which is to make it fail.
    """
    task = asyncio.create_task(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            patient = breaker is None or cancellation is None
            await asyncio.wait((task,), timeout=None if patient else seconds)
            if breaker and not task.done():
                breaking, breaker = breaker, None
                await breaking()
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation:
        raise cancellation from task.exception()
    return task.result()
