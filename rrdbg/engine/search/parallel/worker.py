"""A worker process: ``python -m rrdbg.engine.search.parallel.worker NUMBER``.

It gets tasks on standard input and sends their parts to standard output, one task at a time. A None in place of a task
gives up the one that is under way. It ends with its input. Its QEMUs keep to the
processor of that number, so that no two workers share one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rrdbg.engine.search.parallel.frames import read_frame, to_frame
from rrdbg.engine.search.parallel.opened import Opened
from rrdbg.engine.search.segment import Ended, Part, SegmentTask
from rrdbg.errors import LinkError, RrdbgError
from rrdbg.links.scheduling import Processors


@dataclass(frozen=True, slots=True)
class _Pipe:
    """Sends parts, no faster than they are read."""

    writer: asyncio.StreamWriter

    def tell(self, part: Part) -> None:
        """Send a part."""
        self.writer.write(to_frame(part))

    async def ready(self) -> None:
        """Wait until most is read of what was sent."""
        await self.writer.drain()


async def main() -> None:
    """Work until there is no more input."""
    reader, pipe = await _connect()
    processors = Processors(int(sys.argv[1]))
    opened: dict[Path, Opened] = {}
    working: asyncio.Task[None] | None = None
    try:
        while True:
            try:
                task = await read_frame(reader)
            except EOFError:
                return
            if isinstance(task, SegmentTask):
                working = asyncio.create_task(_work(task, opened, processors, pipe))
                working.add_done_callback(partial(_tell_end, pipe))
            elif working:
                working.cancel()
    finally:
        if working:
            working.cancel()
            await asyncio.wait((working,))
        for known in opened.values():
            await known.close()


async def _work(task: SegmentTask, opened: dict[Path, Opened], processors: Processors, pipe: _Pipe) -> None:
    if task.recording not in opened:
        opened[task.recording] = await Opened.open(task.recording, own=task.own, processors=processors)
    await opened[task.recording].perform(task, pipe)


def _tell_end(pipe: _Pipe, work: asyncio.Task[None]) -> None:
    """Say how a task has ended, however that was: one may be given up before it has begun."""
    error = None if work.cancelled() else work.exception()
    if error is not None and not isinstance(error, (RrdbgError, OSError)):
        traceback.print_exception(error)
        error = LinkError(f"A worker process has failed: {error!r}.")
    pipe.writer.write(to_frame(Ended(error)))


async def _connect() -> tuple[asyncio.StreamReader, _Pipe]:
    """Standard input and output as streams; what is printed by mistake goes to standard error."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, output)
    return reader, _Pipe(asyncio.StreamWriter(transport, protocol, None, loop))


if __name__ == "__main__":
    asyncio.run(main())
