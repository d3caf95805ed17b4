"""``rrdbg replay``: open a recording, run commands, and stay in the shell unless told otherwise."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from rrdbg.engine.replay import Replay
from rrdbg.errors import RrdbgError
from rrdbg.frontends.debugger import Debugger
from rrdbg.frontends.opening import add_budget, add_debugger, add_recording, open_replay, symbols_of
from rrdbg.frontends.outlet import Outlet
from rrdbg.frontends.progress import ProgressLine
from rrdbg.frontends.repl import interact
from rrdbg.frontends.shell import Shell, read_script
from rrdbg.frontends.waiting import Waiting

_DESCRIPTION = """
Open a recording at its end and read commands: GDB's own, which a GDB runs on the recording, and rrdbg's. 'help' lists
them.
"""


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


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("replay", help="open a recording", description=_DESCRIPTION)
    add_recording(parser)
    parser.add_argument("--at", metavar="POSITION", default="end", help="open there (default: end)")
    parser.add_argument("-ex", action=_Appended, dest="work", metavar="COMMAND", help="run COMMAND; may be repeated")
    parser.add_argument("-x", action=_Appended, dest="work", metavar="FILE", help="run the commands in FILE")
    parser.add_argument("--batch", action="store_true", help="leave after the commands; status not 0 if one failed")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    add_debugger(parser)
    add_budget(parser)
    parser.set_defaults(run=run, work=None)


async def run(arguments: argparse.Namespace) -> int:
    """Open, run, interact."""
    lines = [
        line for option, value in arguments.work or () for line in ([value] if option == "-ex" else read_script(value))
    ]
    async with await open_replay(arguments) as replay:
        return await work(replay, lines, arguments)


async def work(replay: Replay, lines: Sequence[str], arguments: argparse.Namespace) -> int:
    """Run ``lines`` on ``replay`` and, unless it is a batch, what the user types then; the exit status."""
    interactive = not arguments.batch and sys.stdin.isatty() and sys.stdout.isatty()
    outlet = Outlet(json=arguments.json, colours=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    waiting = Waiting(ProgressLine(quiet=arguments.json))
    async with AsyncExitStack() as stack:
        debugger = await _debugger(stack, replay, arguments, outlet)
        with Shell(replay, debugger, outlet, waiting) as shell:
            try:
                await shell.open(arguments.at)
                await shell.run_all(lines)
            except RrdbgError as error:
                shell.show_error(error)
                if arguments.batch:
                    return error.exit_code
            if not arguments.batch and not shell.session.over:
                await interact(shell, terminal=interactive)
    return 0


async def _debugger(
    stack: AsyncExitStack, replay: Replay, arguments: argparse.Namespace, outlet: Outlet
) -> Debugger | None:
    """The GDB that was asked for; where none is installed, and none was named, there is none."""
    if arguments.no_gdb:
        return None
    if arguments.gdb is None and arguments.symbols is None and shutil.which("gdb") is None:
        outlet.warn("There is no GDB here, so there are no symbols, and only rrdbg's own commands.")
        return None
    symbols = symbols_of(replay.recording, arguments.symbols)
    return await stack.enter_async_context(Debugger.on(replay, arguments.gdb or "gdb", symbols))
