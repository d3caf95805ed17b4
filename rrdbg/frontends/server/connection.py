"""The server: a socket that one client at a time may use, and the loop that reads its packets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from rrdbg.engine.replay import Replay
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.server.control import GREETING, Control
from rrdbg.frontends.server.packets import PACKET_SIZE, Packet, PacketParser, Signal
from rrdbg.frontends.server.stub import Stub
from rrdbg.links.rsp import frame

_LAST_WORDS = (b"D", b"k", b"vKill")
_LEAVE_SECONDS = 2.0
_SILENT_SECONDS = 30.0
"""How long a client may say nothing at all; a GDB speaks at once."""

_MOST_VISITORS = 32
_MOST_BESIDE = 7
"""Clients with a cursor of their own, each with a QEMU at least."""

_OWN_FILES = 64
"""File descriptors that are left to rrdbg and its machines."""

_BACKLOG = 16


class Server:
    """Serves ``replay`` to one client after another.

    Each that comes meanwhile gets what ``another`` opens, with a cursor of its own, and without that is sent away.

    Beside it there may be control channels. Whether a connection is one, its first words tell.

    ``looks_again`` tells that the client looks at the guest anew after each ``monitor`` command, and needs no reminder.
    """

    def __init__(
        self,
        replay: Replay,
        *,
        looks_again: bool = False,
        another: Callable[[], Awaitable[Replay]] | None = None,
        controlled: bool = True,
    ) -> None:
        self.stub = Stub(replay, self._say, looks_again=looks_again, controlled=controlled)
        """What answers the packets."""
        self._another = another
        self._beside = 0
        self._listener: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._path: Path | None = None
        self._last = b""
        self._turn = asyncio.Lock()
        self._idle = asyncio.Lock()
        self._visitors: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._muted = False
        self._leaving = False
        self._acknowledging = True
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._most_visitors = _most_visitors()
        self.address = ""
        """What GDB's ``target remote`` takes."""

    async def listen(self, where: str, *, public: bool = False) -> bool:
        """Listen at ``unix:PATH`` or ``localhost:PORT`` (0: any free port); with ``public`` also at ``HOST:PORT``.

        True if others than this machine's users may reach it.

        :raises UsageError: it is none of these, or is not to be had.
        """
        kind, _, rest = where.rpartition(":") if not where.startswith("unix:") else where.partition(":")
        try:
            if kind == "unix" and rest:
                self._listener = await asyncio.start_unix_server(self._serve, sock=_own_socket(rest), backlog=_BACKLOG)
                self._path, self.address = Path(rest), rest
            elif kind in ("localhost", "127.0.0.1", "") and rest.isdecimal():
                self._listener = await asyncio.start_server(self._serve, "127.0.0.1", int(rest), backlog=_BACKLOG)
                self.address = f"localhost:{self._listener.sockets[0].getsockname()[1]}"
            elif public and kind and rest.isdecimal():
                self._listener = await asyncio.start_server(self._serve, kind.strip("[]"), int(rest), backlog=_BACKLOG)
                self.address = f"{kind}:{self._listener.sockets[0].getsockname()[1]}"
                return True
            else:
                raise UsageError(
                    f"'{where}' is no place to listen at; write unix:PATH or localhost:PORT. Others than this "
                    "machine's users are served only with --public."
                )
        except (OSError, OverflowError) as error:
            raise UsageError(f"Cannot listen at {where}: {error}.") from None
        return False

    async def close(self) -> None:
        """Stop listening, and send the client away."""
        if self._listener:
            self._listener.close()
        await self._finish_task()
        visitors = list(self._visitors.items())
        for writer, _ in visitors:
            writer.close()
        if leaving := [task for _, task in visitors if task]:
            _, waiting = await asyncio.wait(leaving, timeout=_LEAVE_SECONDS)
            for task in waiting:
                task.cancel()  # it waits for a QEMU that hangs
        for writer, _ in visitors:
            writer.transport.abort()  # it does not read what was sent to it
        if self._path:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._visitors) >= self._most_visitors:
            writer.write(frame(b"E.Too many clients are connected."))
            writer.close()
            return
        self._visitors[writer] = asyncio.current_task()
        raw = writer.get_extra_info("socket")
        if raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            words = await _first_words(reader)
            if words == GREETING:
                self.stub.lookers += 1
                try:
                    await Control(self.stub, self._idle, self._give_up, writer).serve(reader)
                finally:
                    self.stub.lookers -= 1
            elif words and (self._writer is None or self._leaving):
                async with self._turn:
                    await self.attend(reader, writer, words)
            elif words and self._another and self._beside < _MOST_BESIDE:
                await self._attend_beside(self._another, reader, writer, words)
        except asyncio.CancelledError:
            pass  # everything ends; asyncio would print a traceback
        finally:
            del self._visitors[writer]
            writer.close()

    async def _attend_beside(
        self,
        another: Callable[[], Awaitable[Replay]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        words: bytes,
    ) -> None:
        """Serve one more client, with a cursor of its own. A control channel could not tell whose it is."""
        self._beside += 1
        try:
            async with await another() as replay:
                await Server(replay, controlled=False).attend(reader, writer, words)
        except RrdbgError as error:
            writer.write(frame(b"E." + str(error).encode()))
        finally:
            self._beside -= 1

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes) -> None:
        """Serve the client at ``reader`` and ``writer``, who has said ``words``, until it leaves."""
        self._writer = writer
        self._leaving = False
        self._acknowledging = True
        try:
            await self._talk(reader, words)
        except ConnectionError:
            pass  # the client has gone; it may come again
        finally:
            self._leaving = True
            await self._finish_task()
            async with self._idle:
                await self.stub.reset()
            self._writer = None

    async def _talk(self, reader: asyncio.StreamReader, data: bytes) -> None:
        parser = PacketParser()
        while data:
            for event in parser.feed(data):
                if isinstance(event, Packet):
                    self._acknowledge(b"+")
                    await self._give_up()
                    await self._finish_task(cancel=False)
                    await self._start(event.payload)
                    if event.payload.startswith(_LAST_WORDS):
                        await self._finish_task(cancel=False)
                        return
                elif event is Signal.INTERRUPT:
                    self.interrupt()
                elif event is Signal.SEND_AGAIN:
                    self._send_again()
                elif event is Signal.DAMAGED:
                    self._acknowledge(b"-")
                elif event is Signal.ENDLESS:
                    self._send(b"E.A packet is too long.")
                    return
                elif event is Signal.MALFORMED:
                    self._acknowledge(b"+")
                    self._send(b"E01")
            if self._writer:
                await self._writer.drain()  # whoever reads nothing is told nothing more
            data = await reader.read(PACKET_SIZE)

    def _send_again(self) -> None:
        """Repeat the last packet, unless the client only waits: GDB asks so when an answer takes more than 2 s."""
        if self._last and self._acknowledging and (self._task is None or self._task.done()):
            self._write(self._last)

    async def _start(self, payload: bytes) -> None:
        await self._idle.acquire()
        self._cancelled = False
        self._task = asyncio.create_task(self._answer(payload))

    async def _answer(self, payload: bytes) -> None:
        try:
            answer = await self.stub.answer(payload)
        finally:
            self._idle.release()
        if answer is not None:
            self._send(answer)
        if payload == b"QStartNoAckMode":
            self._acknowledging = False

    async def _give_up(self) -> None:
        """End a monitor command that is carried out though the client goes on: its user has entered Ctrl-C.

        GDB does not say so, and would take a late answer to be that to its next packet.
        """
        if self.stub.commanding:
            self._muted = True
            try:
                await self._finish_task()
            finally:
                self._muted = False

    def interrupt(self) -> None:
        """Ctrl-C: end a movement, once, or one that is to begin in a moment."""
        if self._cancelled:
            return
        if self._task and not self._task.done() and self.stub.moving:
            self._cancelled = True
            self._task.cancel()
        else:
            self.stub.interrupt()

    async def _finish_task(self, *, cancel: bool = True) -> None:
        if self._task:
            if cancel:
                self.interrupt()
            task, self._task = self._task, None
            await task

    def _say(self, text: str) -> None:
        digits = text.encode().hex()
        for start in range(0, len(digits), PACKET_SIZE - 64):
            self._send(b"O" + digits[start : start + PACKET_SIZE - 64].encode())

    def _send(self, payload: bytes) -> None:
        if self._muted:
            return
        self._last = frame(payload)
        self._write(self._last)

    def _acknowledge(self, sign: bytes) -> None:
        if self._acknowledging:
            self._write(sign)

    def _write(self, data: bytes) -> None:
        if self._writer:
            with contextlib.suppress(ConnectionError):
                self._writer.write(data)


async def _first_words(reader: asyncio.StreamReader) -> bytes:
    """What a client says first, or all of :data:`GREETING`; empty if it leaves before, or says nothing for long."""
    words = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_SILENT_SECONDS):
            while words != GREETING and GREETING.startswith(words):
                # No more than that: what follows is for whoever reads on.
                data = await reader.read(len(GREETING) - len(words))
                if not data:
                    return b""
                words += data
            return words
    return b""


def _most_visitors() -> int:
    """How many connections there may be, as file descriptors allow it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_VISITORS if limit < 0 else max(2, min(_MOST_VISITORS, (limit - _OWN_FILES) // 2))


def _own_socket(path: str) -> socket.socket:
    """A socket at ``path`` that only this user may connect to, whatever the umask is.

    :raises OSError: it is not to be had.
    """
    own = socket.socket(socket.AF_UNIX)
    try:
        # Linux gives the file the rights that the socket itself has when it is bound.
        os.fchmod(own.fileno(), stat.S_IRUSR | stat.S_IWUSR)
        own.bind(path)
    except BaseException:
        own.close()
        raise
    return own
