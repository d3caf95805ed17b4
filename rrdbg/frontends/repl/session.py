"""Commands from the command line, and then the shell: what every front end does that has an opened replay."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.replay import Replay
from rrdbg.errors import QemuLaunchError, RrdbgError
from rrdbg.frontends.repl.output import Outlet
from rrdbg.frontends.repl.runner import Runner
from rrdbg.frontends.repl.shell import Shell, read_script
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import symbols_of
from rrdbg.frontends.shared.options import add_debugger
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.links.gdb_choice import USUAL


class _Appended(argparse.Action):
    """Keeps -ex and -x in the order in which they were written."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        namespace.work = [*(namespace.work or []), (option_string, values)]


def add_work(parser: argparse.ArgumentParser, *, at: str, where: str, gdb: str = "--gdb") -> None:
    """Declare the options that tell what to do; the position ``at`` (in words: ``where``) is where to begin.

    ``gdb`` is the option that names the GDB to use.
    """
    parser.add_argument("--at", metavar="POSITION", default=at, help=f"open there (default: {where})")
    parser.add_argument("-ex", action=_Appended, dest="work", metavar="COMMAND", help="run COMMAND; may be repeated")
    parser.add_argument("-x", action=_Appended, dest="work", metavar="FILE", help="run the commands in FILE")
    parser.add_argument("--batch", action="store_true", help="leave after the commands; status not 0 if one failed")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    add_debugger(parser, gdb)
    parser.set_defaults(work=None)


def read_work(arguments: argparse.Namespace) -> list[str]:
    """The commands to run, in order.

    :raises UsageError: a file of them cannot be read.
    """
    return [
        line for option, value in arguments.work or () for line in ([value] if option == "-ex" else read_script(value))
    ]


class Page(Protocol):
    """A session's page in a browser."""

    async def switch(self, on: bool) -> str:
        """Serve it, or let it go; a sentence about what was done."""
        ...

    async def close(self) -> None:
        """Let it go, if it is there."""
        ...


async def work(
    replay: Replay, lines: Sequence[str], arguments: argparse.Namespace, page: Callable[[Runner], Page] | None = None
) -> int:
    """Run ``lines`` on ``replay`` and, unless it is a batch, what the user types then; the exit status.

    ``page`` makes the page that ``web on`` serves.
    """
    interactive = not arguments.batch and sys.stdin.isatty() and sys.stdout.isatty()
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    outlet = Outlet(json=arguments.json, colours=coloured, positions=not interactive)
    waiting = Waiting(ProgressLine(quiet=arguments.json))
    async with AsyncExitStack() as stack:
        with interrupted_at(lambda: replay.position, "GDB was being started"):
            debugger = await start_debugger(stack, replay, arguments, outlet.warn)
        with Shell(replay, debugger, outlet, waiting) as shell:
            if debugger is None:
                shell.session.symbols_file = symbols_of(replay.recording, arguments.symbols)
            if page:
                served = page(shell.runner)
                shell.session.web = served.switch
                stack.push_async_callback(served.close)
            try:
                await shell.open(arguments.at)
                await shell.run_all(lines)
            except RrdbgError as error:
                shell.show_error(error)
                if arguments.batch:
                    return error.exit_code
            if not arguments.batch and not shell.session.over:
                # prompt_toolkit takes 0.05 s to read, which a batch need not wait for.
                from rrdbg.frontends.repl.interactive import interact

                return await interact(shell, terminal=interactive)
    return 0


async def start_debugger(
    stack: AsyncExitStack, replay: Replay, arguments: argparse.Namespace, warn: Callable[[str], None]
) -> Debugger | None:
    """The GDB that was asked for, until ``stack`` ends; where none knows the guest, and none was named, there is none.

    :raises QemuLaunchError: the one that was named does not know it.
    :raises RrdbgError: the symbols cannot be read.
    """
    if arguments.no_gdb:
        return None
    symbols = symbols_of(replay.recording, arguments.symbols)
    try:
        return await stack.enter_async_context(Debugger.on(replay, arguments.gdb_program or USUAL, symbols))
    except QemuLaunchError as error:
        if arguments.gdb_program or arguments.symbols:
            raise
        warn(f"{error} So there are no symbols, and only rrdbg's own commands.")
        return None
