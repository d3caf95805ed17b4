"""rrdbg itself: ``rrdbg serve`` as a process of its own, spoken to in packets and over its control channel."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.guests import Guest
from benchmarks.places import Condition, Place
from benchmarks.points import words_of
from benchmarks.processes import with_children
from rrdbg.errors import RrdbgError
from rrdbg.links.mi import Gdb
from rrdbg.links.registers import RegisterFile, read_description, register_file
from rrdbg.links.rsp import RspClient
from rrdbg.model.hits.stop import Breakpoint, Point

_GREETING = b"rrdbg control 1\n"
_END_SECONDS = 20.0


class Ours:
    """rrdbg on a copy of the guest's recording."""

    name = "rrdbg"

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._folder = Path(tempfile.mkdtemp(prefix="rrdbg-bench-", dir=guest.recording.parent))
        # Not beside the recording: a socket's path may have 107 bytes.
        self._sockets = tempfile.TemporaryDirectory(prefix="rrdbg-bench-")
        self._socket = str(Path(self._sockets.name) / "socket")
        self._copy = guest.copy(self._folder)
        self._process: asyncio.subprocess.Process | None = None
        self._client: RspClient | None = None
        self._control: tuple[asyncio.StreamReader, asyncio.StreamWriter]
        self._registers: RegisterFile

    async def open(self) -> None:
        """Start the server and connect."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rrdbg", "serve", str(self._copy), "--listen", f"unix:{self._socket}", "--until-eof",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        if not await self._process.stdout.readline():
            raise RrdbgError(f"rrdbg serve {self._copy} did not start.")
        self._control = await asyncio.open_unix_connection(self._socket, limit=1 << 24)
        self._control[1].write(_GREETING)
        await self._control[0].readline()
        await self._connect()
        self._registers = register_file(*await read_description(self._packets))

    async def _connect(self) -> None:
        self._client = RspClient(*await asyncio.open_unix_connection(self._socket))

    @property
    def _packets(self) -> RspClient:
        assert self._client is not None, "nobody else is connected"
        return self._client

    async def close(self) -> None:
        """End the server, and remove the copy."""
        if self._client:
            await self._client.close()
            self._client = None
        if self._process:
            process, self._process = self._process, None
            self._control[1].close()
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _END_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()

    def remove(self) -> None:
        """Remove the copy of the recording."""
        self._sockets.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def where(self) -> Place:
        """Where it stands."""
        answer = await self._ask({"where": True})
        pc = self._registers.value(await self._packets.exchange("g"), self._registers.pc)
        return Place(int(answer["position"]["icount"]), pc)

    async def seek(self, icount: int) -> None:
        """Jump by rrdbg's command."""
        await self._run(f"seek {icount}")

    async def step_back(self) -> None:
        """One ``bs``."""
        await self._move("bs")

    async def run_back(self, point: Point) -> None:
        """One ``bc``."""
        await self._packets.command("Z" + words_of(point))
        await self._move("bc")
        await self._packets.command("z" + words_of(point))

    async def run_back_where(self, address: int, condition: Condition, seconds: float) -> float:
        """One ``bc`` with a condition, which rrdbg judges by itself."""
        words = words_of(Breakpoint(1, address))
        code = condition.bytecode
        await self._packets.command(f"Z{words};X{len(code):x},{code.hex()}")
        await self._move("bc")
        await self._packets.command("z" + words)
        return 1.0

    async def bisect(self, condition: Condition, end: int, seconds: float) -> float:
        """rrdbg's command, with the condition as bytecode."""
        await self._run(f"bisect @{condition.bytecode.hex()} from start to {end}")
        return 1.0

    @asynccontextmanager
    async def gdb(self) -> AsyncIterator[Gdb]:
        """A GDB on the server's socket; our own client gives way to it."""
        await self._packets.close()
        self._client = None
        gdb = await Gdb.start("gdb", str(self._guest.symbols))
        try:
            await gdb.console(f"target remote {self._socket}")
            yield gdb
        finally:
            await gdb.close()
            await self._connect()

    async def trouble(self) -> str:
        """Nothing is known but that it is slow."""
        return "no answer"

    def pids(self) -> list[int]:
        """The server and its QEMUs."""
        return with_children(self._process.pid) if self._process else []

    def disk_bytes(self) -> int:
        """The snapshots."""
        return sum(file.stat().st_blocks * 512 for file in (self._copy / "snapshots").glob("*.qcow2"))

    async def _move(self, packet: str) -> None:
        self._packets.resume(packet)
        reply = await self._packets.stopped()
        if reply.signal != 5:
            raise RrdbgError(f"rrdbg answered {packet} with signal {reply.signal}.")

    async def _run(self, line: str) -> dict[str, Any]:
        return await self._ask({"run": line})

    async def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        reader, writer = self._control
        writer.write(json.dumps(request).encode() + b"\n")
        while line := await reader.readline():
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                if answer["error"]:
                    raise RrdbgError(answer["error"])
                return answer
        raise RrdbgError("rrdbg has ended.")
