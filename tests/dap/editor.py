"""An editor at an ``rrdbg dap``, whose every message, and those of the adapter, the protocol's own schema judges.

The schema is the one that debugpy has a copy of. (The models of dap-python 0.5.0, a client, contradict the protocol in
four places: they want a body where there is none, and texts where there are numbers.)
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema

from tests.cli.conftest import Cli

Message = dict[str, Any]

SECONDS = 60


class Editor:
    """Sends requests, and collects events until somebody wants them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._writer = process.stdin
        self._reader = process.stdout
        self._asked: dict[int, str] = {}
        self.events: list[Message] = []
        self._responses: dict[int, Message] = {}

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
        number = len(self._asked) + 1
        self._asked[number] = command
        message = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        check(message, self._asked)
        self.write(json.dumps(message).encode())
        return number

    def write(self, content: bytes) -> None:
        """Send anything as a message."""
        self._writer.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)

    async def ask(self, command: str, /, **arguments: object) -> Message:
        """The body of the response to a request that succeeds."""
        return await self.answered(self.send(command, **arguments))

    async def answered(self, number: int) -> Message:
        response = await self.response(number)
        assert response["success"], response
        body = response.get("body") or {}
        assert isinstance(body, dict)
        return body

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
                    body = self.events.pop(place).get("body", {})
                    assert isinstance(body, dict)
                    return body
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

    async def _receive(self) -> None:
        async with asyncio.timeout(SECONDS):
            header = await self._reader.readuntil(b"\r\n\r\n")
            content = await self._reader.readexactly(int(header.partition(b":")[2]))
        message = json.loads(content)
        check(message, self._asked)
        if message["type"] == "event":
            self.events.append(message)
        else:
            self._responses[message["request_seq"]] = message


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
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rrdbg", "dap", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
        env=Cli(library).environment(XDG_STATE_HOME=os.environ["XDG_STATE_HOME"]),
    )  # fmt: skip
    try:
        yield Editor(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), SECONDS)
