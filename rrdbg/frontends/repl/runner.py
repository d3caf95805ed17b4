"""Lines are run on one session, one at a time, whoever has written them: a user at a terminal, or a page of his."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.replay import Replay
from rrdbg.errors import HostError, Interrupted
from rrdbg.frontends.repl.routing import COUNTED_STEPS, Canonical, Ours, Theirs, dispatch
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.results import Message, Output, Result
from rrdbg.model.timeline.position import parse_count

_GDBS_HELP = "GDB's own commands work, too: 'help all' lists them, 'help NAME' explains one."


class Runner:
    """Runs lines on ``replay``; ``debugger`` is its GDB, if it has one. Whoever comes second waits for the first.

    What is in ``on_ended`` is called when a line has ended, wherever the cursor is then.
    """

    def __init__(self, replay: Replay, debugger: Debugger | None) -> None:
        self.replay = replay
        self.debugger = debugger
        self.session = debugger.session if debugger else Session(replay)
        self.on_ended: list[Callable[[], None]] = []
        self._turn = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._for_gdb = False

    @property
    def canonical(self) -> Canonical | None:
        """How to find the whole names of GDB's commands; None without a GDB."""
        return self.debugger.canonical if self.debugger else None

    @property
    def running(self) -> bool:
        """True while a line is run."""
        return self._running is not None

    async def perform(self, work: Coroutine[Any, Any, None]) -> None:
        """Await ``work``, which :meth:`interrupt` ends; the turn of others comes when it has ended.

        :raises Interrupted: it was ended.
        :raises RrdbgError: whatever it raises; an error of the host's is told as a sentence.
        """
        task = asyncio.current_task()
        try:
            async with self._turn:
                await self._perform(work)
        except Interrupted:
            if task and task.cancelling():
                raise asyncio.CancelledError from None
            raise
        except BrokenPipeError:
            raise  # whoever reads what we print has gone, and so do we
        except OSError as error:
            raise HostError.of(error, "That failed") from None
        finally:
            work.close()  # where we were ended before its turn came

    async def look(self, work: Coroutine[Any, Any, None]) -> None:
        """Await ``work``, which looks at the guest and moves nothing, when no line is run.

        :raises RrdbgError: whatever it raises.
        """
        try:
            async with self._turn:
                await work
        finally:
            work.close()

    async def _perform(self, work: Coroutine[Any, Any, None]) -> None:
        running = self._running = asyncio.create_task(work)
        try:
            await running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not running.cancelled() or (task and task.cancelling()):
                # It was not the command alone that was to end, but all of us.
                raise
            raise Interrupted(f"Interrupted at {self.replay.position}.") from None
        finally:
            self._running, self._for_gdb = None, False
            if self.debugger and not self.debugger.alive:
                self.debugger = self.session.symbols = None
            self.session.visits.note(self.replay.position)
            for ended in self.on_ended:
                ended()

    def interrupt(self) -> None:
        """End what is run, as Ctrl-C does."""
        if self._running is None:
            return
        if self._for_gdb and self.debugger:
            self.debugger.interrupt()
        else:
            self._running.cancel()

    async def answers(self, line: str, *, structured: bool = False) -> AsyncGenerator[Result, None]:
        """What ``line`` answers, whoever runs it; inside :meth:`perform`.

        ``structured`` tells that values are wanted rather than text.

        :raises RrdbgError: the command failed.
        """
        who = await self._who(line, structured=structured)
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

    async def _who(self, line: str, *, structured: bool) -> Ours | Theirs:
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
        return dispatch(line, self.canonical, structured=structured)


def _text(result: Result) -> str:
    return result.text if isinstance(result, Output) else ""
