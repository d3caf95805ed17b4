"""The protocol's messages: a length, and so much JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

from rrdbg.errors import RrdbgError
from rrdbg.model.document import Document

MOST_BYTES = 4 << 20
"""Of one message: the longest are lists of breakpoints."""

_MOST_HEADER = 4096
_LENGTH = re.compile(rb"content-length:\s*(\d{1,8})\s*", re.IGNORECASE)

Body = dict[str, Any]


class BrokenMessageError(RrdbgError):
    """What came is no message, so nobody knows where the next one begins."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for; ``seq`` is its number for it."""

    seq: int
    command: str
    arguments: Document


class Channel:
    """Messages to and from a client; one writes at a time, and waits until the client takes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)

    async def receive(self) -> Request | None:
        """The next request; None when the client has gone.

        :raises BrokenMessageError: it is none.
        """
        length = await self._length()
        if length is None:
            return None
        try:
            message = Document.parse(await self._reader.readexactly(length))
            if message["type"].text() != "request":
                raise BrokenMessageError("A message came that is no request, though nothing was asked of the client.")
            arguments = message.get("arguments")
            if arguments is None or arguments.is_null():  # as Helix says that there are none
                arguments = Document({})
            return Request(message["seq"].integer(), message["command"].text(200), arguments)
        except asyncio.IncompleteReadError:
            return None
        except BrokenMessageError:
            raise
        except RrdbgError as error:
            raise BrokenMessageError(f"A message came that cannot be understood: {error}") from None

    async def _length(self) -> int | None:
        """How many bytes the next message has."""
        length, seen = None, 0
        while line := await self._line():
            seen += len(line)
            if seen > _MOST_HEADER:
                break
            if match := _LENGTH.fullmatch(line):
                length = int(match[1])
            elif not line.strip():
                if length is None or length > MOST_BYTES:
                    break
                return length
        else:
            return None
        raise BrokenMessageError(f"A message must begin with Content-Length, and have {MOST_BYTES:,} bytes at most.")

    async def _line(self) -> bytes:
        try:
            return await self._reader.readline()
        except ValueError:
            raise BrokenMessageError("A message's header has no end.") from None

    async def respond(self, request: Request, body: Body | None) -> None:
        """Tell that ``request`` was done."""
        # Not null, where there is nothing to tell: the protocol has no such body.
        await self._answer(request, success=True, **({} if body is None else {"body": body}))

    async def refuse(self, request: Request, message: str) -> None:
        """Tell why ``request`` was not done, in a sentence for the user."""
        error = {"id": 1, "format": message.replace("{", "{{"), "showUser": True}
        await self._answer(request, success=False, message=message, body={"error": error})

    async def event(self, name: str, body: Body) -> None:
        """Tell what has happened."""
        await self._send({"type": "event", "event": name, "body": body})

    async def _answer(self, request: Request, **fields: object) -> None:
        await self._send({"type": "response", "request_seq": request.seq, "command": request.command, **fields})

    async def _send(self, message: Body) -> None:
        content = json.dumps({"seq": next(self._numbers), **message}).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        await self._writer.drain()
