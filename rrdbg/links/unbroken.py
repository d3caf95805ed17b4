"""Work that a cancellation must not leave half done: ending a process, saving a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[object, object, T]) -> T:
    """Await ``work`` to its end even if we are cancelled meanwhile, twice too; the cancellation is raised after it.

    An error of ``work`` is then the cancellation's cause.
    """
    task = asyncio.create_task(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation:
        raise cancellation from task.exception()
    return task.result()
