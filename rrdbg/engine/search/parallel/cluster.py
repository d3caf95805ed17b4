"""The executor on a Dask cluster that is there already: its workers look at segments of a recording that they all see.

Needs the package ``distributed`` (``pip install 'rrdbg[dask]'``) here, and there rrdbg and the recording's QEMU. A
running task cannot be ended from outside, so each looks twice a second whether an event of its scan's is set, which
says that nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from rrdbg.engine.search.parallel.executor import TaskProgress
from rrdbg.engine.search.parallel.opened import Opened
from rrdbg.engine.search.segment import Part, SegmentTask
from rrdbg.errors import LinkError, RrdbgError, UsageError
from rrdbg.links.unbroken import unbroken
from rrdbg.model.hits.stop import Hit

CONNECT_SECONDS = 10.0
"""How long to look for the cluster."""

_POLL_SECONDS = 0.5
_AHEAD = 2
"""Tasks for each of the cluster's threads that are under way, or done before their turn comes."""


class ClusterExecutor:
    """The workers of a cluster; make it with :meth:`connect`."""

    def __init__(self, client: Any, jobs: int) -> None:
        self._client = client
        self._jobs = jobs

    @classmethod
    async def connect(cls, address: str) -> ClusterExecutor:
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
            return cls(client, jobs)
        await client.close()
        raise LinkError(f"The Dask cluster at {address} has no workers; start some: dask worker {address}")

    @property
    def jobs(self) -> int:
        """How many threads the cluster had when we connected."""
        return self._jobs

    async def run(
        self, tasks: Sequence[SegmentTask], memory: int, on_progress: TaskProgress
    ) -> AsyncGenerator[Part, None]:
        """The parts of all tasks' results, one for each: :class:`~rrdbg.engine.search.parallel.executor.Executor`."""
        from distributed import Event

        over = Event(f"rrdbg-{uuid4()}", client=self._client)
        waiting = iter(tasks)
        futures: deque[Any] = deque()
        try:
            for index, task in enumerate(tasks):
                while len(futures) < self._jobs * _AHEAD and (following := next(waiting, None)):
                    futures.append(self._client.submit(look, following, over.name, pure=False))
                part = await _result(futures[0])
                futures.popleft()
                on_progress(index, task.segment.end.icount)
                yield part
        finally:
            await unbroken(_give_up(over, futures))

    async def close(self) -> None:
        """Leave the cluster, which goes on."""
        await self._client.close()


async def _result(future: Any) -> Part:
    try:
        part = await future.result()
    except (RrdbgError, asyncio.CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - Dask raises here whatever was raised there
        raise LinkError(f"A Dask worker has failed: {error!r}. It needs rrdbg and the recording's directory.") from None
    assert isinstance(part, Part)
    return part


async def _give_up(over: Any, futures: deque[Any]) -> None:
    """Have the tasks that are left end, and wait until they have."""
    await over.set()
    for future in futures:
        # How it ended matters to nobody.
        with contextlib.suppress(Exception):
            await future.result()


def look(task: SegmentTask, over: str) -> Part:
    """Do ``task`` in a thread of a worker of the cluster, unless the event ``over`` is set.

    :raises RrdbgError: as a scan does.
    """
    from distributed import Event, get_client

    return asyncio.run(_look(task, Event(over, client=get_client())))


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


async def _look(task: SegmentTask, over: Any) -> Part:
    found = _Collected()
    working = asyncio.create_task(_perform(task, found))
    while not working.done():
        if await asyncio.to_thread(over.is_set):
            working.cancel()
        await asyncio.wait((working,), timeout=_POLL_SECONDS)
    if not working.cancelled():
        working.result()
    if found.last is None:
        return Part((), task.segment.start.icount)
    return replace(found.last, hits=tuple(found.hits))


async def _perform(task: SegmentTask, found: _Collected) -> None:
    opened = await Opened.open(task.recording, own=task.own)
    try:
        await opened.perform(task, found)
    finally:
        await opened.close()
