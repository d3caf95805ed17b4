"""The executor of this machine: worker processes that stay, each with a QEMU as long as it has a task.

Processes and not tasks of ours, since a stop of the guest costs about as much time of Python as of QEMU: with many
stops one Python would keep no more than two QEMUs busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence

from rrdbg.engine.search.parallel.executor import TaskProgress
from rrdbg.engine.search.parallel.frames import read_frame, to_frame
from rrdbg.engine.search.segment import Ended, Part, SegmentTask
from rrdbg.errors import LinkError
from rrdbg.links.memory import available
from rrdbg.links.unbroken import unbroken

MEMORY_SHARE = 0.5
"""The workers' QEMUs together may take this part of the memory that is free."""

_PARTS = 16
"""Parts of a task that are kept until its turn comes; then its worker has to wait."""

_AHEAD = 3
"""Tasks for each worker that may be done, or under way, before their turn comes."""

_GIVE_UP_SECONDS = 5.0
"""How long a worker may take to give a task up before it is killed, and its QEMU with it."""

_Results = asyncio.Queue[Part | Exception]


class Worker:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: asyncio.Queue[object] = asyncio.Queue(_PARTS)
        # Not to be cancelled in the middle of an answer, as whoever waits for one may be.
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, number: int) -> Worker:
        """Start one; its machines keep to the processor of that ``number``."""
        process = await asyncio.create_subprocess_exec(
            # -P: in the folder where the user stands there may be a recording of others, and files called as modules.
            sys.executable, "-P", "-m", "rrdbg.engine.search.parallel.worker", str(number),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        return cls(process)

    @property
    def alive(self) -> bool:
        """False once it has ended."""
        return self._process.returncode is None

    async def run(self, task: SegmentTask) -> AsyncGenerator[Part, None]:
        """The parts of the result of ``task``; to leave it early gives the task up.

        :raises LinkError: it failed, or the process has ended.
        """
        ended = False
        try:
            self._send(task)
            while True:
                answer = await self._answers.get()
                if isinstance(answer, Part):
                    yield answer
                    continue
                ended = True
                if not isinstance(answer, Ended):
                    status = await self._process.wait()
                    raise LinkError(f"A worker process (pid {self._process.pid}) has ended with status {status}.")
                if answer.error:
                    raise answer.error
                return
        finally:
            if not ended:
                await unbroken(self._give_up())

    async def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _GIVE_UP_SECONDS)
        except TimeoutError:
            await self._kill()
        self._reader.cancel()
        await asyncio.wait((self._reader,))

    async def _give_up(self) -> None:
        self._send(None)
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                while isinstance(await self._answers.get(), Part):
                    pass
        except TimeoutError:
            await self._kill()

    async def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _send(self, message: SegmentTask | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(to_frame(message))

    async def _read(self) -> None:
        """Take answers, no faster than they are wanted; the last one is a None."""
        assert self._process.stdout is not None
        with contextlib.suppress(EOFError):
            while True:
                await self._answers.put(await read_frame(self._process.stdout))
        await self._answers.put(None)


class LocalExecutor:
    """At most ``jobs`` worker processes, started when they are first needed."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._workers: dict[int, Worker] = {}

    @property
    def jobs(self) -> int:
        """How many tasks run at a time, if there is memory enough."""
        return self._jobs

    async def run(
        self, tasks: Sequence[SegmentTask], memory: int, on_progress: TaskProgress
    ) -> AsyncGenerator[Part, None]:
        """The parts of all tasks' results, see :class:`~rrdbg.engine.search.parallel.executor.Executor`."""
        count = min(self._jobs, len(tasks), max(int(available() * MEMORY_SHARE) // max(memory, 1), 1))
        results: list[_Results] = [asyncio.Queue(_PARTS) for _ in tasks]
        waiting = iter(enumerate(tasks))
        ahead = asyncio.Semaphore(count * _AHEAD)
        working = [
            asyncio.create_task(self._work(number, waiting, results, ahead, on_progress)) for number in range(count)
        ]
        try:
            for result in results:
                async for part in _parts(result):
                    yield part
                ahead.release()
        finally:
            for work in working:
                work.cancel()
            await unbroken(asyncio.wait(working))

    async def close(self) -> None:
        """End all workers."""
        workers, self._workers = self._workers, {}
        await asyncio.gather(*(worker.close() for worker in workers.values()))

    async def _work(
        self,
        number: int,
        waiting: Iterator[tuple[int, SegmentTask]],
        results: Sequence[_Results],
        ahead: asyncio.Semaphore,
        on_progress: TaskProgress,
    ) -> None:
        """Do one task after another with the worker of this ``number``."""
        while True:
            await ahead.acquire()
            index, task = next(waiting, (-1, None))
            if task is None:
                return
            try:
                worker = await self._worker(number)
                async with contextlib.aclosing(worker.run(task)) as parts:
                    async for part in parts:
                        on_progress(index, part.icount)
                        if part.hits or part.over:
                            await results[index].put(part)
            except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
                await results[index].put(error)

    async def _worker(self, number: int) -> Worker:
        known = self._workers.get(number)
        if known is None or not known.alive:
            self._workers[number] = known = await Worker.start(number)
        return known


async def _parts(result: _Results) -> AsyncGenerator[Part, None]:
    """What comes of one task."""
    over = False
    while not over:
        part = await result.get()
        if isinstance(part, Exception):
            raise part
        over = part.over
        yield part
