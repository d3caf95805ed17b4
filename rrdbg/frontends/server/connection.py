"""The server: a socket that clients connect to, and who gets which seat."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from rrdbg.engine.replay import Replay
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.server.control import Control
from rrdbg.frontends.server.floor import Floor
from rrdbg.frontends.server.seat import Seat
from rrdbg.frontends.server.stub import Stub
from rrdbg.links.gdb_watch import Served
from rrdbg.links.rsp import frame

_GREETING = b"rrdbg control 1"
"""What a control channel's client says first, with the number of the seat behind it; no packet begins so."""

_WHOSE = re.compile(rb"(?: ([0-9]{1,6}))?\n")
_LONGEST_WHOSE = 8

_LEAVE_SECONDS = 2.0
_END_SECONDS = 10.0
"""How long a movement that was told to end may take; a machine that does not stop is ended after some seconds."""
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

    Each that comes meanwhile gets what ``another`` opens, with a cursor of its own. Where the replay is ``shared`` it
    gets the same cursor, and without either it is sent away. Beside each there may be control channels. Whether a
    connection is one, and whose, its first words tell.

    ``looks_again`` tells that the client looks at the guest anew after each ``monitor`` command, and needs no reminder.
    """

    def __init__(
        self,
        replay: Replay,
        *,
        looks_again: bool = False,
        another: Callable[[], Awaitable[Replay]] | None = None,
        shared: bool = False,
    ) -> None:
        self._floor = Floor(replay, shared=shared)
        self._first = Seat(self._floor, 1, looks_again=looks_again)
        self._floor.join(self._first.halt)
        self._seats = {1: self._first}
        self._numbers = 1
        self._another = another
        self._beside = 0
        self._listener: asyncio.Server | None = None
        self._path: Path | None = None
        self._visitors: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._most_visitors = _most_visitors()
        self.address = ""
        """What GDB's ``target remote`` takes."""

    @property
    def stub(self) -> Stub:
        """What answers the packets of the first client."""
        return self._first.stub

    @property
    def served(self) -> Served:
        """What is done for the first client."""
        return self._first.served

    def interrupt(self) -> None:
        """Ctrl-C for the first client."""
        self._first.interrupt()

    async def end_work(self) -> None:
        """End what the first client has asked for, who has gone, unless that cannot be ended."""
        self._first.halt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS), self._floor.idle:
                pass

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
        for seat in list(self._seats.values()):
            await seat.finish()
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
            if words.startswith(_GREETING):
                await self._control(reader, writer, words)
            elif words:
                await self._seat(reader, writer, words)
        except asyncio.CancelledError:
            pass  # everything ends; asyncio would print a traceback
        finally:
            del self._visitors[writer]
            writer.close()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes) -> None:
        """Serve a control channel to the client whose seat's number it names: the first one's without a number."""
        whose = _WHOSE.fullmatch(words.removeprefix(_GREETING))
        seat = self._seats.get(int(whose[1] or 1)) if whose else None
        if seat is None:
            writer.write(b'{"error": "No client has that number here; qRrdbg.control tells a client its own."}\n')
            return
        seat.stub.lookers += 1
        try:
            await Control(seat, writer).serve(reader)
        finally:
            seat.stub.lookers -= 1

    async def _seat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes) -> None:
        """Serve a client that debugs, if there is a seat for it."""
        if self._first.free:
            await self._first.attend(reader, writer, words)
        elif self._floor.shared:
            await self._attend_on(self._floor, reader, writer, words)
        elif self._another and self._beside < _MOST_BESIDE:
            self._beside += 1
            try:
                async with await self._another() as replay:
                    await self._attend_on(Floor(replay), reader, writer, words)
            except RrdbgError as error:
                writer.write(frame(b"E." + str(error).encode()))
            finally:
                self._beside -= 1

    async def _attend_on(
        self, floor: Floor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes
    ) -> None:
        """Serve one more client, at a seat of its own on ``floor``."""
        self._numbers += 1
        number = self._numbers
        seat = self._seats[number] = Seat(floor, number)
        leave = floor.join(seat.halt)
        try:
            await seat.attend(reader, writer, words)
        finally:
            leave()
            del self._seats[number]


async def _first_words(reader: asyncio.StreamReader) -> bytes:
    """What a client says first, or a control channel's whole greeting; empty if it leaves, or says nothing for long."""
    words = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_SILENT_SECONDS):
            while True:
                # No more than that: what follows is for whoever reads on.
                missing = len(_GREETING) - len(words) if _GREETING.startswith(words) else 0
                data = await reader.read(max(missing, 1))
                if not data:
                    return b""
                words += data
                if _GREETING.startswith(words):
                    continue
                greeted = words.startswith(_GREETING)
                if not greeted or data == b"\n" or len(words) > len(_GREETING) + _LONGEST_WHOSE:
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
