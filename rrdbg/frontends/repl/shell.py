"""Run command lines one after another, show what they answer, and let Ctrl-C stop the running one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path

from rrdbg.commands.arguments import read_position
from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.replay import Replay
from rrdbg.errors import HostError, Interrupted, RrdbgError, UsageError
from rrdbg.frontends.repl.blocks import Block
from rrdbg.frontends.repl.output import Outlet
from rrdbg.frontends.repl.redirect import Redirected, Sink, read_redirect
from rrdbg.frontends.repl.routing import COUNTED_STEPS, Canonical, Ours, Theirs, dispatch, takes_expression
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.results import Message, Output, Result
from rrdbg.model.timeline.position import parse_count

_GDBS_HELP = "GDB's own commands work, too: 'help all' lists them, 'help NAME' explains one."


class Shell:
    """A session whose answers go to ``outlet``; ``debugger`` is its GDB, if it has one."""

    def __init__(self, replay: Replay, debugger: Debugger | None, outlet: Outlet, waiting: Waiting) -> None:
        self.replay = replay
        self.debugger = debugger
        self.session = debugger.session if debugger else Session(replay)
        self._outlet = outlet
        self._waiting = waiting
        self._running: asyncio.Task[None] | None = None
        self._for_gdb = False
        replay.on_progress = waiting.show

    def __enter__(self) -> Shell:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    @property
    def canonical(self) -> Canonical | None:
        """How to find the whole names of GDB's commands; None without a GDB."""
        return self.debugger.canonical if self.debugger else None

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
            await self._perform(self._answers(wanted.line), wanted)

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

    async def _answers(self, line: str) -> AsyncGenerator[Result, None]:
        """What ``line`` answers, whoever runs it."""
        who = await self._who(line)
        if isinstance(who, Ours):
            async with aclosing(who.command.answers(self.session, who.text)) as answers:
                async for answer in answers:
                    yield answer
            if self.debugger and who.command.name == "help" and not who.text:
                yield Message(f"\n{_GDBS_HELP}")
            if self.debugger and who.command.name == "apropos":
                yield Output("Of GDB's:\n" + "".join(map(_text, await self.debugger.run(line))))
            return
        assert self.debugger is not None, "without a GDB all lines are ours"
        self._for_gdb = True
        for answer in await self.debugger.run(line):
            yield answer

    async def _who(self, line: str) -> Ours | Theirs:
        """Who runs ``line``. Many steps at once are ours if nothing can stop them: GDB would ask for each.

        In a what-if they are GDB's: the guest that steps there is not the recording's.
        """
        steps = COUNTED_STEPS.fullmatch(line)
        if steps and self.debugger:
            count = parse_count(steps["count"])
            backwards = await self.debugger.goes_backwards()
            if backwards and "r" not in steps["verb"]:
                line = f"reverse-stepi {count}"
            # GDB has something to say to a 'reverse-stepi' there.
            says_no = backwards and "r" in steps["verb"]
            if not says_no and not self.debugger.in_what_if and not await self.debugger.has_points():
                return Ours(*COMMANDS.match(line))
            line = f"{steps['verb']} {count}"
        return dispatch(line, self.canonical, structured=self._outlet.json)

    async def _perform(self, work: AsyncGenerator[Result, None], wanted: Redirected) -> None:
        self._waiting.begin()
        self._running = asyncio.create_task(self._show_all(work, wanted))
        try:
            await self._running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._running.cancelled() or (task and task.cancelling()):
                # It was not the command alone that was to end, but all of us.
                raise
            raise Interrupted(f"Interrupted at {self.replay.position}.") from None
        except Interrupted:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise asyncio.CancelledError from None
            raise
        except BrokenPipeError:
            raise  # whoever reads what we print has gone, and so do we
        except OSError as error:
            raise HostError.of(error, "That failed") from None
        finally:
            self._running, self._for_gdb = None, False
            self._waiting.end()
            if self.debugger and not self.debugger.alive:
                self._lose_debugger()
            self.session.visits.note(self.replay.position)

    async def _show_all(self, work: AsyncGenerator[Result, None], wanted: Redirected) -> None:
        async with aclosing(work):
            if wanted.sink is Sink.TERMINAL:
                async for result in work:
                    self._waiting.end()
                    self._outlet.show(result)
            else:
                await self._outlet.send([result async for result in work], wanted)

    def _lose_debugger(self) -> None:
        self.debugger = self.session.symbols = None
        self._outlet.warn("GDB is gone, and its breakpoints with it; rrdbg's own commands go on without symbols.")

    def _interrupt(self) -> None:
        if self._running is None:
            return
        if self._for_gdb and self.debugger:
            self.debugger.interrupt()
        else:
            self._running.cancel()


def read_script(path: str) -> list[str]:
    """The lines of a command file.

    :raises UsageError: it cannot be read.
    """
    try:
        return Path(path).expanduser().read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the command file {path}: {error}.") from None


def _text(result: Result) -> str:
    return result.text if isinstance(result, Output) else ""
