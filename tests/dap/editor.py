"""An editor at an ``rrdbg dap``: debugpy's client, where each message of both is judged by the protocol's own schema.

The schema is the one that debugpy has a copy of. (The models of dap-python 0.5.0, another client, contradict the
protocol in four places: they want a body where there is none, and texts where there are numbers.)
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import jsonschema

from tests.cli.conftest import Cli

Message = dict[str, Any]

SECONDS = 60

messaging: Any = importlib.import_module("debugpy.common.messaging")
"""Which has no types."""


class Judged(messaging.JsonIOStream):  # type: ignore[misc]
    """debugpy's stream of messages, each of which is held against the schema; ``asked`` are the requests by number."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, asked: Mapping[int, str]) -> None:
        super().__init__(reader, writer, "rrdbg dap")
        self._asked = asked
        self.wrong: Exception | None = None
        """Why a message that came is none."""

    def read_json(self, decoder: Any = None) -> Any:
        message = super().read_json(decoder)
        try:
            check(message, self._asked)
        except jsonschema.ValidationError as error:
            self.wrong = error
            raise messaging.NoMoreMessages(str(error), stream=self) from None
        return message

    def write(self, content: bytes) -> None:
        """Send anything as a message."""
        self._writer.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._writer.flush()

    def hang_up(self) -> None:
        """Send nothing more, as an editor that has gone."""
        self._writer.close()


class Inbox:
    """What debugpy's channel hands on, in its own thread; ``take`` is called in that of ``loop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[Message], None]) -> None:
        self._loop = loop
        self._take = take

    def event(self, event: Any) -> None:
        """An event has come."""
        self.put({"event": event.event, "body": event.body})

    def disconnect(self) -> None:
        """Nothing more will come."""
        self.put({})

    def response(self, response: Any) -> None:
        """What was asked is answered."""
        told = {"body": response.body} if response.success else {"message": str(response.body)}
        self.put({"request_seq": response.request.seq, "success": response.success, **told})

    def put(self, message: Message) -> None:
        self._loop.call_soon_threadsafe(self._take, message)


class Editor:
    """debugpy's own end of the protocol; collects events until somebody wants them."""

    def __init__(self, process: asyncio.subprocess.Process, reader: BinaryIO, writer: BinaryIO) -> None:
        self.process = process
        self._asked: dict[int, str] = {}
        self.events: list[Message] = []
        self._responses: dict[int, Message] = {}
        self._news = asyncio.Event()
        self._gone = False
        self._inbox = Inbox(asyncio.get_running_loop(), self._take)
        self.stream = Judged(reader, writer, self._asked)
        self._channel = messaging.JsonMessageChannel(self.stream, self._inbox)
        self._channel.start()

    async def start(self, **launch: object) -> Message:
        """Initialize and launch, up to where breakpoints are set; the capabilities."""
        capabilities = await self.ask(
            "initialize", adapterID="rrdbg", linesStartAt1=True, supportsProgressReporting=True
        )
        await self.ask("launch", **launch)
        await self.event("initialized")
        return capabilities

    async def begin(self, **launch: object) -> Message:
        """The same, and on to where the guest stands; where that is."""
        await self.start(**launch)
        return await self.move("configurationDone")

    def send(self, command: str, /, **arguments: object) -> int:
        """Send a request, and do not wait."""
        check({"seq": 0, "type": "request", "command": command, "arguments": arguments}, self._asked)
        return self.send_anything(command, **arguments)

    def send_anything(self, command: str, /, **arguments: object) -> int:
        """The same, though it may not be as the protocol wants it."""
        request = self._channel.send_request(command, arguments, on_before_send=self._note)
        request.on_response(self._inbox.response)
        return int(request.seq)

    def send_null(self, command: str) -> int:
        """Send a request whose arguments are null, as some editors do where there are none."""
        with self._channel._send_message({"type": "request", "command": command, "arguments": None}) as number:
            request = messaging.OutgoingRequest(self._channel, number, command, None)
            self._note(request)
            self._channel._sent_requests[number] = request
        request.on_response(self._inbox.response)
        return int(number)

    def _note(self, request: Any) -> None:
        self._asked[request.seq] = request.command

    async def ask(self, command: str, /, **arguments: object) -> Message:
        """The body of the response to a request that succeeds."""
        return await self.answered(self.send(command, **arguments))

    async def answered(self, number: int) -> Message:
        response = await self.response(number)
        assert response["success"], response
        return dict(response["body"])

    async def refused(self, command: str, /, **arguments: object) -> str:
        """Why a request fails."""
        response = await self.response(self.send(command, **arguments))
        assert not response["success"], response
        return str(response["message"])

    async def response(self, number: int) -> Message:
        while number not in self._responses:
            await self._receive()
        return self._responses.pop(number)

    async def event(self, name: str) -> Message:
        """The body of the next event of that name; earlier ones of other names stay."""
        while True:
            for place, event in enumerate(self.events):
                if event["event"] == name:
                    return dict(self.events.pop(place)["body"])
            await self._receive()

    async def move(self, command: str, /, **arguments: object) -> Message:
        """Move; where the guest stands then, and why."""
        await self.ask(command, **arguments)
        return await self.stop()

    async def stop(self) -> Message:
        """Where the guest stands, and why, when it stands next."""
        stopped = await self.event("stopped")
        return {**await self.event("rrdbg/position"), **stopped}

    def printed(self) -> str:
        """What the debug console has got since the last time."""
        texts = [event["body"]["output"] for event in self.events if event["event"] == "output"]
        self.events = [event for event in self.events if event["event"] != "output"]
        return "".join(texts)

    def _take(self, message: Message) -> None:
        if "event" in message:
            self.events.append(message)
        elif message:
            self._responses[message["request_seq"]] = message
        else:
            self._gone = True
        self._news.set()

    async def _receive(self) -> None:
        if self.stream.wrong:
            raise self.stream.wrong
        assert not self._gone, "The adapter has gone."
        async with asyncio.timeout(SECONDS):
            await self._news.wait()
        self._news.clear()

    async def close(self) -> None:
        """End the adapter, and what listens to it."""
        if self.process.returncode is None:
            self.process.terminate()
        await asyncio.wait_for(self.process.wait(), SECONDS)
        self._channel.close()
        self._channel.wait()


@functools.cache
def _schema() -> Message:
    spec = importlib.util.find_spec("debugpy")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "_vendored" / "pydevd" / "_pydevd_bundle" / "_debug_adapter"
    schema = json.loads((folder / "debugProtocol.json").read_text())
    assert isinstance(schema, dict)
    return schema


@functools.cache
def _judge(definition: str) -> jsonschema.Draft4Validator:
    known = _schema()["definitions"]
    kind = definition if definition in known else re.sub(r".*(Request|Response|Event)", r"\1", definition)
    return jsonschema.Draft4Validator({"$ref": f"#/definitions/{kind}", "definitions": known})


def check(message: Message, asked: Mapping[int, str]) -> None:
    """Whether a message is as the protocol says; of requests and events that are rrdbg's own, their frames are."""
    match message["type"]:
        case "event":
            name = message["event"]
        case "response":
            name = asked[message["request_seq"]] if message["success"] else "error"
        case _:
            name = message["command"]
    _judge(f"{name[:1].upper()}{name[1:]}{message['type'].capitalize()}").validate(message)


@asynccontextmanager
async def editing(library: Path, *words: str) -> AsyncIterator[Editor]:
    """An editor at an adapter, which is ended behind the block."""
    (asked, ask), (told, tell) = os.pipe(), os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rrdbg", "dap", *words, stdin=asked, stdout=tell,
            env=Cli(library).environment(XDG_STATE_HOME=os.environ["XDG_STATE_HOME"]),
        )  # fmt: skip
    finally:
        os.close(asked)
        os.close(tell)
    editor = Editor(process, os.fdopen(told, "rb"), os.fdopen(ask, "wb"))
    try:
        yield editor
    finally:
        await editor.close()
