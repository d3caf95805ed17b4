"""Served recordings, and a GDB on them that is spoken to over MI."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rrdbg.engine.replay import Replay
from rrdbg.frontends.server.connection import Server
from rrdbg.links.mi import Gdb
from rrdbg.links.rsp import RspClient
from rrdbg.model.timeline.position import Position
from tests.recordings import fresh_copy


@asynccontextmanager
async def serving(recording: Path, folder: Path) -> AsyncIterator[tuple[Replay, str]]:
    """A fresh copy of ``recording`` in ``folder``, served: the replay and the server's address."""
    copy = fresh_copy(recording, folder / "served")
    async with await Replay.open(copy) as replay:
        server = Server(replay)
        await server.listen(f"unix:{folder}/socket")
        try:
            yield replay, server.address
        finally:
            await server.close()


async def connect(address: str) -> RspClient:
    """A client that speaks in packets."""
    return RspClient(*await asyncio.open_unix_connection(address))


@asynccontextmanager
async def connecting(address: str) -> AsyncIterator[RspClient]:
    """The same, closed in the end."""
    client = await connect(address)
    try:
        yield client
    finally:
        await client.close()


async def move(client: RspClient, packet: str) -> bytes:
    """Send a packet that moves the guest; the stop reply."""
    client.resume(packet)
    return await client._packet()


class Debugger:
    """A GDB and the replay that it debugs."""

    def __init__(self, gdb: Gdb, replay: Replay) -> None:
        self.gdb = gdb
        self.replay = replay

    async def seek(self, position: Position) -> None:
        """Put both at ``position``, with all breakpoints gone."""
        await self.gdb.console("delete")
        await self.gdb.console(f"monitor seek {position}")
        await self.look_again()
        assert self.replay.position == position

    async def look_again(self) -> None:
        """Tell GDB that the guest is another one now."""
        await self.gdb.console("maintenance flush register-cache")
        await self.gdb.console("maintenance flush dcache")

    async def number(self, expression: str) -> int:
        """The value of an expression as an unsigned 64-bit number."""
        return int(await self.gdb.value(f"(unsigned long long)({expression})"))

    async def move(self, line: str) -> str:
        """Run a command that moves; the reason why GDB stopped, as MI calls it."""
        answer = await self.gdb.execute(f'-interpreter-exec console "{line}"')
        assert answer.stopped is not None, f"'{line}' did not move: {answer.text}"
        # MI gives no reason for this one, nor where a movement has failed.
        if "No more reverse-execution history" in answer.text:
            return "no-history"
        reason = answer.stopped.get("reason") or f"stopped without a reason: {answer.text}"
        # GDB's own recorder gives two where the last of many steps is the last that it has.
        return "no-history" if "no-history" in reason else str(reason)


@asynccontextmanager
async def debugging(
    recording: Path, elf: Path | None, folder: Path, *before: str, program: str = "gdb"
) -> AsyncIterator[Debugger]:
    """A GDB with the symbols of ``elf`` on a copy of ``recording``; it is given the commands ``before`` first."""
    async with serving(recording, folder) as (replay, address):
        gdb = await Gdb.start(program, *([str(elf)] if elf else []))
        try:
            for line in before:
                await gdb.console(line)
            await gdb.console(f"target remote {address}")
            yield Debugger(gdb, replay)
        finally:
            await gdb.close()


async def rrdbg_gdb(recording: Path, elf: Path, commands: Path) -> list[str]:
    """The lines that ``rrdbg gdb`` prints when GDB runs the script ``commands``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rrdbg", "gdb", str(recording), "--symbols", str(elf), "--",
        "-nx", "-batch", "-x", str(commands),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    lines = (await process.communicate())[0].decode().splitlines()
    assert process.returncode == 0
    return lines
