"""From a thread that waits to an event loop in another thread: what makes the asynchronous API a synchronous one."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine
from threading import Thread, get_ident
from typing import Any, TypeVar

from rrdbg.errors import UsageError

T = TypeVar("T")


class Bridge:
    """Runs coroutines on ``loop``, which the thread ``thread_id`` runs, and waits for them in other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        self._loop = loop
        self._thread_id = thread_id
        self._task: asyncio.Task[Any] | None = None
        self._stopped = False

    async def stop(self) -> None:
        """On the loop: cancel what is waited for, until it has ended, and refuse what is asked from now on."""
        self._stopped = True
        if task := self._task:
            task.cancel()
            # Of one that ends after the loop does Python prints a traceback.
            await asyncio.wait((task,))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``. Ctrl-C cancels it, and is over when ``work`` has come to a defined end.

        :raises Interrupted: Ctrl-C has ended a movement; the message tells where the cursor is.
        :raises KeyboardInterrupt: Ctrl-C has ended something else.
        :raises UsageError: the loop is over, or this is its own thread, which must not wait for itself.
        """
        if self._stopped or self._loop.is_closed():
            work.close()
            raise UsageError("The replay is closed; open the recording again.")
        if get_ident() == self._thread_id:
            work.close()
            raise UsageError("A replay cannot be used from inside one of its own callbacks.")
        future = asyncio.run_coroutine_threadsafe(self._perform(work), self._loop)
        while True:
            try:
                return future.result()
            except KeyboardInterrupt:
                # By then a task that is only just being started has begun.
                self._loop.call_soon_threadsafe(self._loop.call_soon, self._cancel)
            except concurrent.futures.CancelledError:
                raise KeyboardInterrupt from None

    async def _perform(self, work: Coroutine[Any, Any, T]) -> T:
        self._task = asyncio.current_task()
        try:
            return await work
        finally:
            self._task = None

    def _cancel(self) -> None:
        if self._task:
            self._task.cancel()


class OwnLoop:
    """An event loop in a thread of its own, and the bridge to it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="rrdbg", daemon=True)
        self._thread.start()
        assert self._thread.ident is not None
        self.bridge = Bridge(self._loop, self._thread.ident)

    def close(self) -> None:
        """End the loop and its thread; what runs on it must have ended."""
        if self._loop.is_closed():
            return
        self.bridge.run(self._loop.shutdown_asyncgens())
        self.bridge.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
