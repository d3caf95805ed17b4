"""A Dask cluster that is there already: its workers do what is given to them, and stop when nobody waits any more.

Needs the package ``distributed`` (``pip install 'rrdbg[dask]'``) here, and there rrdbg and the QEMU that is to run. A
running task cannot be ended from outside, so each looks twice a second whether anybody waits for it yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from rrdbg.engine.search.parallel.executor import TaskProgress
from rrdbg.engine.search.parallel.opened import Opened
from rrdbg.engine.search.segment import Part, SegmentTask
from rrdbg.errors import LinkError, RrdbgError, UsageError, WorkerFailed
from rrdbg.links.unbroken import unbroken
from rrdbg.model.hits.stop import Hit

CONNECT_SECONDS = 10.0
"""How long to look for the cluster."""

LONELY_SECONDS = 30.0
"""How long to wait for workers where all have died: a cluster starts others, or nobody does."""

_POLL_SECONDS = 0.5
_CANCELLED = "cancelled"
"""How Dask calls the state of a running task whose client has gone."""

_AHEAD = 2
"""Tasks for each of the cluster's threads that are under way, or done before their turn comes."""


class Cluster:
    """A connection to one; make it with :meth:`connect`."""

    def __init__(self, client: Any, address: str, jobs: int) -> None:
        self._client = client
        self._address = address
        self._jobs = jobs

    @classmethod
    async def connect(cls, address: str) -> Cluster:
        """Connect to the scheduler at ``address``, such as ``tcp://HOST:8786``.

        :raises UsageError: the package is missing.
        :raises LinkError: there is no cluster, or it has no workers.
        """
        try:
            from distributed import Client
        except ModuleNotFoundError:
            raise UsageError(
                "A Dask cluster needs the Python package 'distributed'; install it with: pip install 'rrdbg[dask]'"
            ) from None
        try:
            client = await Client(address, asynchronous=True, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise LinkError(f"There is no Dask scheduler at {address}: {error}.") from None
        jobs = sum((await client.nthreads()).values())
        if jobs:
            return cls(client, address, jobs)
        await client.close()
        raise LinkError(f"The Dask cluster at {address} has no workers; start some: dask worker {address}")

    @property
    def jobs(self) -> int:
        """How many threads the cluster had when we connected."""
        return self._jobs

    def calls(self) -> Calls:
        """Calls that are given up together."""
        return Calls(self._client, self._address)

    async def close(self) -> None:
        """Leave the cluster, which goes on."""
        await self._client.close()


class Calls:
    """Coroutine functions that are called in threads of the cluster's workers."""

    def __init__(self, client: Any, address: str) -> None:
        from distributed import Event

        self._client = client
        self._address = address
        self._over = Event(f"rrdbg-{uuid4()}", client=client)
        self._waiting: set[Any] = set()

    async def share(self, value: object) -> Any:
        """Bring ``value`` to all workers, so that it may be ``shared`` by many calls and travels once.

        Dask may lose it with a worker all the same; whoever needs it shares it anew then.
        """
        return await self._client.scatter(value, broadcast=True, hash=False)

    def submit(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: object, shared: object = None
    ) -> Any:
        """Have ``function`` called, with what is ``shared`` as its last argument; :meth:`result` waits for it."""
        future = self._client.submit(there, function, arguments, shared, self._over.name, pure=False)
        self._waiting.add(future)
        return future

    async def result(self, future: Any) -> Any:
        """What the function has given. A worker that dies meanwhile is replaced by another, as Dask does.

        :raises RrdbgError: what the function raises.
        :raises WorkerFailed: it failed otherwise, or has killed several workers.
        :raises LinkError: the scheduler, or all workers, have gone.
        """
        answer = asyncio.ensure_future(future.result())
        seen = time.monotonic()
        try:
            while not (await asyncio.wait((answer,), timeout=_POLL_SECONDS))[0]:
                if await self._workers():
                    seen = time.monotonic()
                elif time.monotonic() - seen > LONELY_SECONDS:
                    raise LinkError(f"The Dask cluster at {self._address} has no workers any more.")
            if answer.cancelled():
                await self._workers()
                raise WorkerFailed("A Dask worker has died, and with it what was shared with all.")
            return answer.result()
        except (RrdbgError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - Dask raises here whatever was raised there
            raise WorkerFailed(f"A Dask worker has failed: {error!r}. It needs rrdbg and the same files.") from None
        finally:
            # One that nobody waits for any more is ended by `give_up`.
            if answer.done():
                self._waiting.discard(future)
            answer.cancel()

    async def give_up(self) -> None:
        """Have the calls that are left end, and wait until they have."""
        with contextlib.suppress(OSError):  # a scheduler that has gone has nothing to end
            await self._over.set()
        for future in list(self._waiting):
            # How it ended matters to nobody, and where no worker is left, all have.
            with contextlib.suppress(Exception):
                if await self._workers():
                    await self.result(future)

    async def _workers(self) -> int:
        try:
            return len(await self._client.nthreads())
        except (OSError, ValueError):
            raise self._gone() from None

    def _gone(self) -> LinkError:
        return LinkError(f"The Dask scheduler at {self._address} has gone.")


class ClusterExecutor:
    """Looks at segments of a recording that all of the cluster's workers see; make it with :meth:`connect`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @classmethod
    async def connect(cls, address: str) -> ClusterExecutor:
        """Connect to the scheduler at ``address``.

        :raises UsageError: the package is missing.
        :raises LinkError: there is no cluster, or it has no workers.
        """
        return cls(await Cluster.connect(address))

    @property
    def jobs(self) -> int:
        """How many threads the cluster had when we connected."""
        return self._cluster.jobs

    async def run(
        self, tasks: Sequence[SegmentTask], memory: int, on_progress: TaskProgress
    ) -> AsyncGenerator[Part, None]:
        """The parts of all tasks' results, one for each: :class:`~rrdbg.engine.search.parallel.executor.Executor`."""
        calls = self._cluster.calls()
        waiting = iter(tasks)
        futures: deque[Any] = deque()
        try:
            for index, task in enumerate(tasks):
                while len(futures) < self.jobs * _AHEAD and (following := next(waiting, None)):
                    futures.append(calls.submit(look, following))
                part = await calls.result(futures[0])
                futures.popleft()
                assert isinstance(part, Part)
                on_progress(index, task.segment.end.icount)
                yield part
        finally:
            await unbroken(calls.give_up())

    async def close(self) -> None:
        """Leave the cluster, which goes on."""
        await self._cluster.close()


def there(
    function: Callable[..., Coroutine[Any, Any, Any]], arguments: Sequence[object], shared: object, over: str
) -> object:
    """Call ``function`` in a thread of a worker of the cluster, until nobody waits any more, which gives None.

    That is so once the event ``over`` is set, or the process that has called is gone.

    :raises Exception: whatever the function raises.
    """
    from distributed import Event, get_client, get_worker

    worker = get_worker()
    key, event = worker.get_current_task(), Event(over, client=get_client())

    def is_over() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == _CANCELLED or event.is_set()

    work = function(*arguments) if shared is None else function(*arguments, shared)
    return asyncio.run(_until(is_over, work))


async def _until(is_over: Callable[[], bool], work: Coroutine[Any, Any, Any]) -> object:
    working = asyncio.create_task(work)
    while not working.done():
        if await asyncio.to_thread(is_over):
            working.cancel()
        await asyncio.wait((working,), timeout=_POLL_SECONDS)
    return None if working.cancelled() else working.result()


@dataclass(slots=True)
class _Collected:
    """Keeps the parts of a task."""

    hits: list[Hit] = field(default_factory=list)
    last: Part | None = None

    def tell(self, part: Part) -> None:
        """Keep a part."""
        self.hits += part.hits
        self.last = part

    async def ready(self) -> None:
        """There is always room."""


async def look(task: SegmentTask) -> Part:
    """Do ``task`` in this process.

    :raises RrdbgError: as a scan does.
    """
    found = _Collected()
    opened = await Opened.open(task.recording, own=task.own)
    try:
        await opened.perform(task, found)
    finally:
        await opened.close()
    if found.last is None:
        return Part((), task.segment.start.icount)
    return replace(found.last, hits=tuple(found.hits))
