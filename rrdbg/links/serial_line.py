"""The user's end of the guest's serial port: a pseudo terminal, a socket or a file, kept away from QEMU.

What the guest prints is handed on as far as the user keeps up, and the guest never waits for him.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
import tty
from collections.abc import Callable
from pathlib import Path

from rrdbg.errors import UsageError
from rrdbg.model.machine.serial import Line, LineKind

_CHARACTER_SECONDS = 0.002
"""Between two characters: a serial line at 4800 baud."""

_CHUNK = 4096
_KEPT_BYTES = 1 << 20
"""So much is kept for a client that reads late; then it loses some."""


class TypedInput:
    """What is typed to the guest: a named pipe that QEMU reads from.

    While it records, QEMU reads on before the guest has got what was read, and drops what its serial port has no room
    for; so a character is typed when the one before has been read, and a moment has passed.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        # Open for both, so that neither end waits for the other, and QEMU never sees the end.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._left = bytearray()
        self._next: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Type ``data``, one character after another."""
        self._left += data
        if self._next is None:
            self._type()

    def _type(self) -> None:
        self._next = None
        if not self._left:
            return
        if not self._unread():
            os.write(self._fd, self._left[:1])
            del self._left[0]
        self._next = asyncio.get_running_loop().call_later(_CHARACTER_SECONDS, self._type)

    def _unread(self) -> int:
        """How many bytes QEMU has not read yet."""
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), sys.byteorder)

    def close(self) -> None:
        """Type no more."""
        if self._next:
            self._next.cancel()
        os.close(self._fd)


class SerialLine:
    """The opened user's end; use :meth:`open`."""

    def __init__(self, typed: Callable[[bytes], None]) -> None:
        self._typed = typed
        self._pty: tuple[int, int] | None = None
        self._file: int | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.Task[None]] = set()
        self._path: Path | None = None
        self.connected = asyncio.Event()
        """Set as soon as somebody can read what the guest prints."""
        self.where = ""
        """Where the user finds it, as a sentence's end; empty if there is nothing to find."""

    @classmethod
    async def open(cls, line: Line, typed: Callable[[bytes], None]) -> SerialLine:
        """Open ``line``; ``typed`` is called with what comes from the user.

        :raises UsageError: it cannot be opened; the message is the system's.
        """
        opened = cls(typed)
        try:
            await opened._open(line)
        except OSError as error:
            await opened.close()
            target = line.path or f"{line.host}:{line.port}"
            raise UsageError(f"Cannot open the serial port's other end {target}: {error.strerror or error}.") from None
        if not line.wait:
            opened.connected.set()
        return opened

    def write(self, data: bytes) -> None:
        """Hand on what the guest has printed."""
        if self._file is not None:
            os.write(self._file, data)
        if self._pty:
            # Nobody reads it, or too late: as with a real line, it is gone.
            with contextlib.suppress(BlockingIOError):
                os.write(self._pty[0], data)
        for writer in self._writers:
            if writer.transport.get_write_buffer_size() < _KEPT_BYTES:
                writer.write(data)

    async def close(self) -> None:
        """Close it, and remove its socket."""
        if self._file is not None:
            os.close(self._file)
        if self._pty:
            asyncio.get_running_loop().remove_reader(self._pty[0])
            for fd in self._pty:
                os.close(fd)
            self._pty = None
        if self._server:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._path:
            self._path.unlink(missing_ok=True)

    async def _open(self, line: Line) -> None:
        if line.kind is LineKind.FILE:
            self._file = os.open(line.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        elif line.kind is LineKind.PTY:
            self._open_pty()
        elif line.server:
            await self._listen(line)
        elif line.kind is LineKind.UNIX:
            self._adopt(*await asyncio.open_unix_connection(line.path))
        elif line.kind is LineKind.TCP:
            self._adopt(*await asyncio.open_connection(line.host, line.port))

    def _open_pty(self) -> None:
        ours, theirs = self._pty = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        asyncio.get_running_loop().add_reader(ours, self._read_pty, ours)
        self.where = os.ttyname(theirs)

    def _read_pty(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._typed(os.read(fd, _CHUNK))

    async def _listen(self, line: Line) -> None:
        if line.kind is LineKind.UNIX:
            self._server = await asyncio.start_unix_server(self._adopt, line.path)
            self._path = Path(line.path)
            self.where = line.path
        else:
            self._server = await asyncio.start_server(self._adopt, line.host, line.port)
            self.where = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    def _adopt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.set()
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_CHUNK):
                    self._typed(data)
        finally:
            self._writers.discard(writer)
            writer.close()
