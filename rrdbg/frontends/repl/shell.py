"""Run command lines one after another, show what they answer, and let Ctrl-C stop the running one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path

from rrdbg.commands.arguments import read_position
from rrdbg.engine.replay import Replay
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.repl.blocks import Block
from rrdbg.frontends.repl.output import Outlet
from rrdbg.frontends.repl.redirect import Redirected, Sink, read_redirect
from rrdbg.frontends.repl.routing import Canonical, takes_expression
from rrdbg.frontends.repl.runner import Runner
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.results import Message, Result


class Shell:
    """A session whose answers go to ``outlet``; ``debugger`` is its GDB, if it has one."""

    def __init__(self, replay: Replay, debugger: Debugger | None, outlet: Outlet, waiting: Waiting) -> None:
        self.replay = replay
        self.runner = Runner(replay, debugger)
        self.session = self.runner.session
        self._outlet = outlet
        self._waiting = waiting
        replay.on_progress = waiting.show

    def __enter__(self) -> Shell:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.runner.interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    @property
    def debugger(self) -> Debugger | None:
        """The session's GDB, if it has one."""
        return self.runner.debugger

    @property
    def canonical(self) -> Canonical | None:
        """How to find the whole names of GDB's commands; None without a GDB."""
        return self.runner.canonical

    async def open(self, position: str) -> None:
        """Go to where the session begins, and say what was opened.

        :raises RrdbgError: there is no such position, or QEMU does not start.
        """
        await self._perform(self._open(position), Redirected(""))

    async def run(self, line: str) -> None:
        """Run one command, of one line or a block of several, and show its answers; a comment does nothing.

        :raises RrdbgError: the command failed.
        """
        line = line.strip()
        if not line or line.startswith("#"):
            return
        if line.startswith("!") or line.split()[0] == "shell":
            await self._outlet.run_program(line.removeprefix("!").removeprefix("shell").strip())
        elif line.split()[0] == "source" and not line.endswith(".py"):
            await self.run_all(read_script(line.split()[-1]))
        else:
            wanted = read_redirect(line, lambda part: takes_expression(part, self.canonical))
            answers = self.runner.answers(wanted.line, structured=self._outlet.json)
            await self._perform(answers, wanted)

    async def run_all(self, lines: Iterable[str]) -> None:
        """Run lines until one fails or the session is over.

        :raises RrdbgError: a command failed; the later ones were not run.
        """
        block = Block()
        for line in lines:
            if self.session.over:
                return
            if whole := block.feed(line):
                await self.run(whole)
        if block.begun:
            raise UsageError("The last command is not whole: a line 'end' is missing.")

    def show_error(self, error: RrdbgError) -> None:
        """Show an error as the front end was asked to."""
        self._outlet.show_error(error)

    async def _open(self, position: str) -> AsyncGenerator[Result, None]:
        replay = self.replay
        stop = await replay.seek(await read_position(self.session, position))
        manifest = replay.recording.manifest
        yield Message(f"{replay.recording.name}: {manifest.icount:,} instructions; ended: {manifest.ended}.")
        yield await self.session.stopped(stop)

    async def _perform(self, work: AsyncGenerator[Result, None], wanted: Redirected) -> None:
        self._waiting.begin()
        had = self.debugger
        try:
            await self.runner.perform(self._show_all(work, wanted))
        finally:
            self._waiting.end()
            if had and self.debugger is None:
                self._outlet.warn(
                    "GDB is gone, and its breakpoints with it; rrdbg's own commands go on without symbols."
                )

    async def _show_all(self, work: AsyncGenerator[Result, None], wanted: Redirected) -> None:
        async with aclosing(work):
            if wanted.sink is Sink.TERMINAL:
                async for result in work:
                    self._waiting.end()
                    self._outlet.show(result)
            else:
                await self._outlet.send([result async for result in work], wanted)


def read_script(path: str) -> list[str]:
    """The lines of a command file.

    :raises UsageError: it cannot be read.
    """
    try:
        return Path(path).expanduser().read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the command file {path}: {error}.") from None
