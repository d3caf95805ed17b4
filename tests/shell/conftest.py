"""The shell on a copy of a recording, with a GDB of its own, and what it shows."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.errors import RrdbgError
from rrdbg.frontends.repl.output import Outlet
from rrdbg.frontends.repl.shell import Shell
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import symbols_of
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.results import Result
from rrdbg.model.timeline.position import Position


class Noted(Outlet):
    """Keeps what would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Result] = []
        self.errors: list[str] = []

    def show(self, result: Result) -> None:
        self.results.append(result)

    def warn(self, text: str) -> None:
        self.errors.append(text)


class User:
    """Types lines into a shell."""

    def __init__(self, shell: Shell, noted: Noted) -> None:
        self.shell = shell
        self.noted = noted

    async def results(self, line: str) -> list[Result]:
        self.noted.results.clear()
        await self.shell.run(line)
        return list(self.noted.results)

    async def __call__(self, line: str) -> str:
        """The text that is shown."""
        return "\n".join(map(self.noted.text, await self.results(line)))

    async def refused(self, line: str) -> str:
        """The error that there must be."""
        with pytest.raises(RrdbgError) as caught:
            await self.shell.run(line)
        return str(caught.value)

    @property
    def position(self) -> Position:
        return self.shell.replay.position


Opened = Callable[..., AbstractAsyncContextManager[User]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Open a copy of a recording in a shell, with a GDB unless told otherwise."""

    @asynccontextmanager
    async def open_copy(recording: Path, *, at: str = "end", gdb: bool = True) -> AsyncIterator[User]:
        copy = Path(shutil.copytree(recording, tmp_path / "copy"))
        noted = Noted()
        waiting = Waiting(ProgressLine(quiet=True))
        async with await Replay.open(copy) as replay:
            if not gdb:
                with Shell(replay, None, noted, waiting) as shell:
                    await shell.open(at)
                    yield User(shell, noted)
                return
            async with Debugger.on(replay, "gdb", symbols_of(replay.recording, None)) as debugger:
                with Shell(replay, debugger, noted, waiting) as shell:
                    await shell.open(at)
                    yield User(shell, noted)

    return open_copy
