"""Where QEMU listens: the addresses that its ``-qmp`` and ``-gdb`` options take, seen from the other side."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import LinkError, UsageError

CONNECT_SECONDS = 5.0
"""How long a peer on this machine may take to answer at all."""


@dataclass(frozen=True, slots=True)
class Address:
    """A unix socket's ``path``, or a TCP ``port`` on ``host``."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``unix:PATH``, ``PATH``, ``tcp:HOST:PORT``, ``HOST:PORT`` or ``:PORT``; ``,server=on`` may follow.

        :raises UsageError: it is none of them.
        """
        where = text.partition(",")[0]
        if where.startswith("unix:") or "/" in where or (where and ":" not in where):
            return cls(path=Path(where.removeprefix("unix:")))
        host, colon, port = where.removeprefix("tcp:").rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UsageError(f"'{text}' is no address of a socket; write unix:PATH or HOST:PORT.")
        return cls(host=host.strip("[]") or "localhost", port=int(port))

    def __str__(self) -> str:
        return str(self.path) if self.path else f"{self.host}:{self.port}"

    async def connect(self, option: str) -> socket.socket:
        """A connected socket; ``option`` is what QEMU must be started with to listen here, for the errors.

        :raises LinkError: nobody listens.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect()
        except FileNotFoundError:
            raise LinkError(f"There is no socket {self}; start QEMU with {option}.") from None
        except TimeoutError:
            raise LinkError(f"{self} does not take a connection; does QEMU listen there ({option})?") from None
        except OSError as error:
            raise LinkError(
                f"Nobody listens at {self} ({error.strerror or error}); "
                f"has QEMU ended, or was it started without {option}?"
            ) from None

    async def _connect(self) -> socket.socket:
        if self.path:
            return await _connected(socket.socket(socket.AF_UNIX), str(self.path))
        found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, target in found[:-1]:
            # One name may have an address of each kind, and QEMU listen at one of them.
            with contextlib.suppress(OSError):
                return await _connected(socket.socket(family, kind, protocol), target)
        family, kind, protocol, _, target = found[-1]
        return await _connected(socket.socket(family, kind, protocol), target)


async def _connected(end: socket.socket, target: object) -> socket.socket:
    try:
        end.setblocking(False)
        if end.family != socket.AF_UNIX:
            # An exchange takes 44 ms without it, and 0.3 ms with it.
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(end, target)  # type: ignore[arg-type]
    except BaseException:
        end.close()
        raise
    return end
