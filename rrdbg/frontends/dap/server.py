"""The loop: requests are answered one after another, and what ends the running one is answered at once."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack

from rrdbg.errors import HostError, Interrupted, RrdbgError, UsageError
from rrdbg.frontends.dap.asking import ASKING
from rrdbg.frontends.dap.channel import BrokenMessageError, Channel, Request
from rrdbg.frontends.dap.lifecycle import LIFECYCLE
from rrdbg.frontends.dap.looking import LOOKING
from rrdbg.frontends.dap.movement import MOVEMENT
from rrdbg.frontends.dap.points import POINTS
from rrdbg.frontends.dap.progress import Progressing
from rrdbg.frontends.dap.requests import Requests, Then
from rrdbg.frontends.dap.session import Options, Session
from rrdbg.links.unbroken import unbroken
from rrdbg.model.document import DocumentError
from rrdbg.model.shown import shown

ALL = Requests()
for _part in (LIFECYCLE, MOVEMENT, POINTS, LOOKING, ASKING):
    ALL.include(_part)

_MOST_WAITING = 1000
_AT_ONCE = ("initialize", "cancel", "pause", "disconnect", "terminate")


class Adapter:
    """A debug adapter for one client, at ``channel``."""

    def __init__(self, channel: Channel, options: Options) -> None:
        self._channel = channel
        self._stack = AsyncExitStack()
        self._session = Session(channel, options, self._stack)
        self._waiting: deque[Request] = deque()
        self._arrived = asyncio.Event()
        self._shows_progress = False
        self._running: tuple[Request | None, asyncio.Task[None]] | None = None

    async def run(self) -> None:
        """Serve until the client disconnects, or goes; then all is ended.

        :raises BrokenMessageError: what it sends is no message.
        """
        worker = asyncio.create_task(self._work())
        try:
            while not self._session.over and (request := await self._next(worker)):
                if request.command in _AT_ONCE:
                    try:
                        await self._at_once(request)
                    except DocumentError as error:
                        await self._channel.refuse(request, shown(str(error)))
                elif len(self._waiting) >= _MOST_WAITING:
                    await self._channel.refuse(request, "Too many requests wait; pause or cancel what runs.")
                else:
                    self._waiting.append(request)
                    self._arrived.set()
                    if self._running and self._running[0] is None:
                        self._interrupt()
        finally:
            worker.cancel()
            await unbroken(self._end(worker))

    async def _next(self, worker: asyncio.Task[None]) -> Request | None:
        """The next request; an error of ``worker``'s, which ends all, is raised."""
        receiving = asyncio.create_task(self._channel.receive())
        await asyncio.wait((receiving, worker), return_when=asyncio.FIRST_COMPLETED)
        if worker.done():
            receiving.cancel()
            worker.result()
        return await receiving

    async def _end(self, worker: asyncio.Task[None]) -> None:
        self._interrupt()
        await asyncio.wait((worker,))
        if self._running:
            await asyncio.wait((self._running[1],))
        await self._stack.aclose()

    async def _at_once(self, request: Request) -> None:
        match request.command:
            case "initialize":
                progress = request.arguments.get("supportsProgressReporting")
                self._shows_progress = progress is not None and progress.flag()
                own = {
                    "supportsProgressReporting": True,
                    "supportsCancelRequest": True,
                    "supportsTerminateRequest": True,
                }
                await self._channel.respond(request, ALL.capabilities | own)
            case "cancel":
                await self._cancel(request)
            case "pause":
                self._interrupt()
                await self._channel.respond(request, None)
            case _:
                self._interrupt()
                await self._channel.respond(request, None)
                await self._channel.event("terminated", {})
                self._session.over = True

    async def _cancel(self, request: Request) -> None:
        """End what runs, or take out what waits, if that is meant; if it has ended meanwhile, nothing happens."""
        number, progress = request.arguments.get("requestId"), request.arguments.get("progressId")
        meant = (
            progress.text(100) if progress is not None else f"rrdbg-{number.integer()}" if number is not None else ""
        )
        if self._running:
            running, _ = self._running
            if meant == f"rrdbg-{running.seq if running else 0}":
                if running is None:
                    self._session.log.drop()
                self._interrupt()
        for waiting in [known for known in self._waiting if meant == f"rrdbg-{known.seq}"]:
            self._waiting.remove(waiting)
            await self._channel.refuse(waiting, "cancelled")
        await self._channel.respond(request, None)

    def _interrupt(self) -> None:
        if self._running is None:
            return
        if self._session.for_gdb:
            self._session.debugger.interrupt()
        else:
            self._running[1].cancel()

    async def _work(self) -> None:
        """Answer what waits; where nothing does, print what logpoints have left."""
        while True:
            self._arrived.clear()
            session = self._session
            request = self._waiting.popleft() if self._waiting else None
            if request is None and not (session.configured and session.log.waits and session.opened):
                await self._arrived.wait()
                continue
            task = asyncio.create_task(self._answer(request) if request else self._print_log())
            self._running = (request, task)
            try:
                await asyncio.wait((task,))
            finally:
                if task.done():
                    self._running = None
            if not task.cancelled() and (error := task.exception()):
                if not isinstance(error, Interrupted):
                    raise error
            elif task.cancelled() and request:
                await self._channel.refuse(request, "cancelled")

    async def _print_log(self) -> None:
        session = self._session
        progress = Progressing(self._channel, 0, "Logpoint", wanted=self._shows_progress)
        session.replay.on_progress = progress.show
        try:
            await session.log.go_on(session.replay, session.debugger)
        finally:
            await progress.close()

    async def _answer(self, request: Request) -> None:
        session = self._session
        title = request.command.removeprefix("rrdbg/")
        progress = Progressing(self._channel, request.seq, title, wanted=self._shows_progress)
        if session.opened:
            session.replay.on_progress = progress.show
        try:
            handler = ALL.find(request.command)
            if handler is None:
                raise UsageError(f"There is no request '{request.command}' here.")
            if not session.opened and not ALL.is_early(request.command):
                raise UsageError("No recording is open; a 'launch' request opens one.")
            answer = await handler(session, request.arguments)
        except Interrupted:
            await self._channel.refuse(request, "cancelled")
        except RrdbgError as error:
            await self._channel.refuse(request, shown(str(error)))
        except BrokenPipeError:
            raise
        except OSError as error:
            await self._channel.refuse(request, str(HostError.of(error, "That failed")))
        else:
            await self._channel.respond(request, answer.body if isinstance(answer, Then) else answer)
            if isinstance(answer, Then):
                await answer.work()
        finally:
            await progress.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, options: Options) -> None:
    """Serve the client at ``reader`` and ``writer`` until it has gone.

    :raises BrokenMessageError: what it sends is no message.
    """
    await Adapter(Channel(reader, writer), options).run()


__all__ = ["Adapter", "BrokenMessageError", "serve"]
