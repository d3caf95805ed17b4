"""``gdb -i dap`` with the extension, as editors use it: the buttons that go back.

Only run with a GDB that has this: see conftest.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rrdbg.model.timeline.position import Position
from tests.extension.conftest import SCRIPT
from tests.guests.build import symbol
from tests.server.conftest import serving

PLACE = 7_300_000
Message = dict[str, Any]


class Adapter:
    """A client of a debug adapter."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._writer = process.stdin
        self._reader = process.stdout
        self._numbers = itertools.count(1)
        self._events: list[Message] = []

    async def ask(self, command: str, **arguments: object) -> Message:
        """Send a request; the response."""
        number = self.send(command, **arguments)
        while True:
            message = await self._receive()
            if message["type"] == "response" and message["request_seq"] == number:
                assert message["success"], message
                return message
            self._events.append(message)

    def send(self, command: str, **arguments: object) -> int:
        """Send a request, and do not wait."""
        number = next(self._numbers)
        body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments}).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return number

    async def event(self, name: str) -> Message:
        """The next event of that name."""
        while True:
            message = self._events.pop(0) if self._events else await self._receive()
            if message["type"] == "event" and message["event"] == name:
                body = message.get("body", {})
                assert isinstance(body, dict)
                return body

    async def _receive(self) -> Message:
        async with asyncio.timeout(60):
            length = int((await self._reader.readline()).partition(b":")[2])
            await self._reader.readline()
            message = json.loads(await self._reader.readexactly(length))
        assert isinstance(message, dict)
        return message


@asynccontextmanager
async def adapting(program: str) -> AsyncIterator[Adapter]:
    """A GDB that is one, with the extension."""
    process = await asyncio.create_subprocess_exec(
        program, "-q", "-nx", "-iex", f"source {SCRIPT}", "-i", "dap",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Adapter(process)
    finally:
        process.kill()
        await process.communicate()


async def test_the_buttons_go_back(workload: Path, workload_guest: Path, adapter_program: str, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address), adapting(adapter_program) as adapter:
        capabilities = (await adapter.ask("initialize", adapterID="test"))["body"]
        assert capabilities["supportsStepBack"]
        attaching = adapter.send("attach", program=str(workload_guest), target=address)
        await adapter.event("initialized")
        await adapter.ask("configurationDone")
        assert attaching
        thread = (await adapter.event("stopped"))["threadId"]
        # A jump in the debug console: the front end is told.
        answer = await adapter.ask("evaluate", expression=f"rrdbg seek {PLACE}", context="repl")
        assert f"{PLACE:,} (88.0%)" in answer["body"]["result"]
        assert (await adapter.event("stopped"))["reason"] == "goto"
        frame = (await adapter.ask("stackTrace", threadId=thread))["body"]["stackFrames"][0]
        assert int(frame["instructionPointerReference"], 16) == await replay.pc()
        await adapter.ask("stepBack", threadId=thread, granularity="instruction")
        assert (await adapter.event("stopped"))["reason"] == "step"
        assert replay.position == Position(PLACE - 1)
        await adapter.ask("stepBack", threadId=thread)
        await adapter.event("stopped")
        assert replay.position < Position(PLACE - 1)
        entry = symbol(workload_guest, "do_round").address
        await adapter.ask("setInstructionBreakpoints", breakpoints=[{"instructionReference": hex(entry)}])
        await adapter.ask("reverseContinue", threadId=thread)
        assert (await adapter.event("stopped"))["reason"] == "breakpoint"
        assert await replay.pc() == entry
        # A watched expression that looks at another time is no jump; nor may it be shown as one, again and again.
        counter = await adapter.ask("evaluate", expression='$rr_at("counter", 0)', context="watch")
        assert counter["body"]["result"] == "0"
        await adapter.ask("next", threadId=thread)
        assert (await adapter.event("stopped"))["reason"] == "step"
