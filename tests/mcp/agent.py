"""A client of the Model Context Protocol, the SDK's own, at an ``rrdbg mcp`` over standard input and output."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from tests.cli.conftest import Cli


@dataclass
class Agent:
    """Asks, and counts what it has asked and read."""

    client: Client
    calls: int = 0
    read: int = 0

    async def ask(self, tool: str, /, **arguments: Any) -> str:
        """The answer of a tool that does not refuse."""
        answer = await self.try_to(tool, **arguments)
        assert not answer.is_error, text_of(answer)
        return text_of(answer)

    async def refused(self, tool: str, /, **arguments: Any) -> str:
        """Why a tool refuses."""
        answer = await self.try_to(tool, **arguments)
        assert answer.is_error, text_of(answer)
        return text_of(answer)

    async def try_to(self, tool: str, /, **arguments: Any) -> CallToolResult:
        answer = await self.client.call_tool(tool, arguments)
        self.calls += 1
        self.read += len(text_of(answer))
        return answer


def text_of(answer: CallToolResult) -> str:
    (content,) = answer.content
    assert isinstance(content, TextContent)
    return content.text


def position_in(answer: str) -> str:
    """Where an answer says that its place is."""
    found = re.search(r"^position: (\S+)", answer, re.MULTILINE)
    assert found, answer
    return found[1]


@asynccontextmanager
async def agent(
    library: Path, recordings: Sequence[Path], *words: str, state: Path | None = None
) -> AsyncIterator[Agent]:
    """An agent at a server of ``recordings``; its process has ended behind the block.

    In the folder ``state`` lies which recordings are the user's own.
    """
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "rrdbg", "mcp", *map(str, recordings), *words],
        env=Cli(library).environment(XDG_STATE_HOME=str(state or os.environ["XDG_STATE_HOME"])),
    )
    async with Client(server) as client:
        yield Agent(client)
