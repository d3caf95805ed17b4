"""``--run``: a command of the user's as a predicate, with the exit statuses that ``git bisect run`` has.

While it runs, the recording is served at the position that it is to judge: ``target remote $RRDBG_GDB``.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from rrdbg.engine.replay import Replay
from rrdbg.errors import LinkError, UsageError
from rrdbg.frontends.server.connection import Server
from rrdbg.links.unbroken import unbroken
from rrdbg.model.hits.bisection import Judgement, Verdict
from rrdbg.store.workfolder import WorkFolder

_SKIP = 125
_FIRST_ABORT = 126
_END_SECONDS = 5.0


class CommandPredicate:
    """Runs ``words`` for each judgement, at most ``timeout`` seconds; made by :meth:`serving`."""

    quick: bool = False
    offline: bool = False

    def __init__(self, words: Sequence[str], environment: dict[str, str], timeout: float, *, quiet: bool) -> None:
        self._words = words
        self._environment = environment
        self._timeout = timeout
        self._quiet = quiet
        self._runs = 0

    @classmethod
    @asynccontextmanager
    async def serving(
        cls, replay: Replay, words: Sequence[str], symbols: Path | None, timeout: float, *, quiet: bool
    ) -> AsyncIterator[CommandPredicate]:
        """A predicate that runs ``words``, and a server on ``replay`` for it.

        :raises UsageError: there is no command.
        """
        if not words:
            raise UsageError("--run needs a command: --run ./check.sh ARGUMENT...")
        server = Server(replay, looks_again=True)
        with WorkFolder() as folder:
            await server.listen(f"unix:{folder}/socket")
            environment = {
                "RRDBG_RECORDING": str(replay.recording.layout.root),
                "RRDBG_GDB": server.address,
                "RRDBG_SYMBOLS": str(symbols or ""),
                "RRDBG_END": str(replay.timeline.end.icount),
            }
            try:
                yield cls(words, environment, timeout, quiet=quiet)
            finally:
                await server.close()

    async def judge(self, replay: Replay) -> Judgement:
        """Run the command, and read its exit status.

        :raises LinkError: it cannot be run, or says that bisecting makes no sense.
        """
        position = replay.position
        self._runs += 1
        here = {
            "RRDBG_POSITION": f"{position.icount}:{position.phase}" if position.phase else str(position.icount),
            "RRDBG_ICOUNT": str(position.icount), "RRDBG_PHASE": str(position.phase), "RRDBG_PROBE": str(self._runs),
        }  # fmt: skip
        status = await self._run(os.environ | self._environment | here)
        if status is None:
            return Judgement(Verdict.SKIP, f"no answer in {self._timeout:g} s")
        if status == 0:
            return Judgement(Verdict.GOOD, "exit status 0")
        if status == _SKIP:
            return Judgement(Verdict.SKIP, "exit status 125")
        if 0 < status < _FIRST_ABORT:
            return Judgement(Verdict.BAD, f"exit status {status}")
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        raise LinkError(
            f"'{shlex.join(self._words)}' {how} at {position}, which ends the bisect: 0 is good, 1 to 124 are bad, "
            "125 skips."
        )

    async def _run(self, environment: dict[str, str]) -> int | None:
        """The exit status, below zero for a signal; None if the time was up."""
        output = asyncio.subprocess.DEVNULL if self._quiet else sys.stderr
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise LinkError(f"Cannot run {self._words[0]}: {error.strerror}.") from None
        try:
            return await asyncio.wait_for(process.wait(), self._timeout)
        except TimeoutError:
            return None
        finally:
            await unbroken(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the command, if it still runs, and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _END_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
