"""A GDB of ours, spoken to in its machine interface (GDB/MI).

One command is in flight at a time. GDB answers it with a result record (``^done``, ``^running``, ``^error``) that
carries the command's token; where the command set the guest going, ``*stopped`` follows when it stands again, and
then what the user's ``commands`` for that stop do, which may set it going anew. Where GDB says ``^running`` and then
cannot do it ("Could not insert hardware breakpoints"), an ``^error`` with the same token follows instead of a stop.
While the guest runs GDB reads no command, and so a second, empty one is answered when all that is over. What the user
would have read on the console comes in between, and is collected. The records are taken apart by pygdbmi; its own
controller waits 0.2 s after each command, an asyncio pipe 0.2 ms.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pygdbmi.gdbmiparser import parse_response

from rrdbg.errors import GdbError, QemuLaunchError, Stalled
from rrdbg.links import gdb_watch
from rrdbg.links.gdb_watch import ANSWER_SECONDS, GdbWatch, Served
from rrdbg.links.unbroken import unbroken

_CONSOLE = "-interpreter-exec console "
_NOTHING = "-gdb-show confirm"
"""A command that does nothing and gives no text."""

_END_SECONDS = 5.0
_TELLINGS = 60
_DEAF_TELLINGS = 16
_TELLING_SECONDS = 0.3
"""How often GDB is told of a Ctrl-C, how often if it says nothing, and how long it has for it each time."""

_LINE_BYTES = 64 << 20
"""The longest record: a list of all symbols."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave: the result record's values, the console's text, and how the guest stopped, if it ran."""

    values: dict[str, Any]
    text: str
    stopped: dict[str, Any] | None = None


@dataclass(slots=True)
class _Pending:
    token: int
    result: asyncio.Future[dict[str, Any]]
    end: asyncio.Future[dict[str, Any]]
    """Of a command that has set the guest going: the stop, or the error that kept the guest where it was."""
    text: list[str] = field(default_factory=list)
    last: dict[str, Any] | None = None
    moving: bool = False


class Gdb:
    """A running GDB; start it with :meth:`start`, end it with :meth:`close`."""

    def __init__(self, process: asyncio.subprocess.Process, served: Callable[[], Served] | None) -> None:
        self._process = process
        self._served = served
        self._tokens = itertools.count(1)
        self._turn = asyncio.Lock()
        self._pending: _Pending | None = None
        self._work: asyncio.Task[Answer] | None = None
        self._heard = 0
        self._begun = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, program: str = "gdb", *words: str, served: Callable[[], Served] | None = None) -> Gdb:
        """Start ``program`` with no start-up files of the user's.

        ``served`` tells what is done for it at the other end of its connection, as long as it waits for that.

        :raises QemuLaunchError: it is not installed.
        """
        path = shutil.which(program)
        if path is None:
            raise QemuLaunchError(f"{program} is not installed or not on PATH; on Debian: apt-get install gdb.")
        process = await asyncio.create_subprocess_exec(
            path, "-q", "-nx", "-interpreter=mi3", *words, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=_LINE_BYTES, start_new_session=True,
        )  # fmt: skip
        gdb = cls(process, served)
        try:
            await gdb.execute("-gdb-set confirm off")
            await gdb.execute("-gdb-set pagination off")
            # After 3 times 2 s without an answer GDB goes on, and takes the one that comes late for that to its next
            # question: a read where a QEMU must be started first, on a busy host.
            await gdb.execute(f"-gdb-set remotetimeout {ANSWER_SECONDS:.0f}")
        except BaseException:
            await gdb.close()
            raise
        return gdb

    async def console(self, line: str) -> str:
        """Run a command as a user would type it, wait until the guest stands again, and return what GDB printed.

        :raises GdbError: GDB refused it; the message is GDB's.
        """
        return (await self.execute(f"{_CONSOLE}{quoted(line)}")).text

    async def value(self, expression: str) -> str:
        """The value of an expression, as ``print`` shows it.

        :raises GdbError: it has none here.
        """
        return str((await self.execute(f"-data-evaluate-expression {quoted(expression)}")).values["value"])

    async def execute(self, command: str) -> Answer:
        """Run an MI command; one that sets the guest going is awaited until the guest stands again.

        A movement may take any time as long as it gets on, and is ended by :meth:`interrupt`.

        :raises GdbError: GDB refused it, or has ended.
        :raises Stalled: GDB does not get on, and was ended.
        """
        async with self._turn:
            work = self._work = asyncio.create_task(self._whole(command))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                # The next command would wait for this one, and take its text for its own.
                await unbroken(self.give_up())
                raise
            except Stalled:
                # Whatever it would say later on would be taken for the answer to something else.
                await unbroken(self._kill())
                raise
            finally:
                self._work = None

    async def _whole(self, command: str) -> Answer:
        answer = await self._exchange(command)
        if answer.stopped is None:
            return answer
        after = await self._exchange(_NOTHING)
        return Answer(answer.values, answer.text + after.text, after.stopped or answer.stopped)

    async def _exchange(self, command: str) -> Answer:
        loop = asyncio.get_running_loop()
        pending = self._pending = _Pending(next(self._tokens), loop.create_future(), loop.create_future())
        assert self._process.stdin is not None
        self._begun.set()
        try:
            self._process.stdin.write(f"{pending.token}{command}\n".encode())
            watch = GdbWatch(self._process.pid, command.removeprefix(_CONSOLE), self._served)
            record = await self._watched(pending.result, watch)
            if record["message"] == "running":
                end = await self._watched(pending.end, watch)
                record = end if end["message"] == "error" else record
            if record["message"] == "error":
                message = str(record["payload"].get("msg", "GDB gives no reason")).strip()
                before = "".join(pending.text).replace(message, "").strip()
                raise GdbError(f"{before}\n{message}" if before else message)
            return Answer(record["payload"] or {}, "".join(pending.text), pending.last)
        finally:
            self._pending = None
            self._begun.clear()

    async def _watched(self, future: asyncio.Future[dict[str, Any]], watch: GdbWatch) -> dict[str, Any]:
        """The record that ``future`` is to become, as long as GDB gets on."""
        while True:
            done, _ = await asyncio.wait(
                (future, self._reader), timeout=gdb_watch.LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if future.done():
                return future.result()
            if done:
                raise GdbError(f"GDB has ended (status {await self._process.wait()}).")
            watch.look(self._heard, moving=self._pending is not None and self._pending.moving)

    @property
    def alive(self) -> bool:
        """False once it has ended."""
        return not self._reader.done()

    async def running(self) -> None:
        """Wait until a command that another task executes has set the guest going."""
        await self._begun.wait()
        assert self._pending is not None
        await asyncio.shield(self._pending.result)

    def interrupt(self) -> None:
        """What Ctrl-C does: ask for the guest to be stopped, and for what GDB runs besides to end."""
        self._signal(signal.SIGINT)

    async def give_up(self, delay: float = 0.0) -> None:
        """See to the end of the command that is under way, after ``delay`` seconds in which it may come by itself.

        GDB looks at a Ctrl-C only between two pieces of work, so it is told again; one that hears nothing is ended.
        """
        work = self._work
        if work is None:
            return
        await asyncio.wait((work,), timeout=delay)
        deaf = 0
        for _ in range(_TELLINGS):
            if work.done() or deaf == _DEAF_TELLINGS:
                break
            heard = self._heard
            self.interrupt()
            await asyncio.wait((work,), timeout=_TELLING_SECONDS)
            deaf = 0 if heard != self._heard else deaf + 1
        if not work.done():
            self._signal(signal.SIGKILL)
            await asyncio.wait((work,))
        if not work.cancelled():
            work.exception()  # nobody else may ask

    def _signal(self, number: int) -> None:
        """Send a signal to GDB and what it has started."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, number)

    async def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        await asyncio.wait((self._reader,), timeout=_END_SECONDS)

    async def close(self) -> None:
        """End it."""
        await unbroken(self._close())

    async def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._heard += 1
            self._take(parse_response(line.decode(errors="replace").strip()))

    def _take(self, record: dict[str, Any]) -> None:
        pending = self._pending
        if pending is None:
            return
        kind = record["type"]
        if kind == "result" and record.get("token") == pending.token and not pending.result.done():
            pending.result.set_result(record)
        elif kind == "result" and record.get("token") == pending.token and not pending.end.done():
            pending.end.set_result(record)
        elif kind == "notify" and record["message"] == "stopped":
            pending.last, pending.moving = record["payload"] or {}, False
            if pending.result.done() and not pending.end.done():
                pending.end.set_result(record)
        elif kind == "notify" and record["message"] == "running":
            pending.moving = True
        elif kind in ("console", "target", "output", "log"):
            pending.text.append(str(record["payload"]))


def quoted(text: str) -> str:
    """``text`` as a c-string of MI's."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
