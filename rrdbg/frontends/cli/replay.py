"""``rrdbg replay``: open a recording, run commands, and stay in the shell unless told otherwise."""

from __future__ import annotations

import argparse

from rrdbg.frontends.cli.web import SessionPage
from rrdbg.frontends.repl.session import add_work, read_work, work
from rrdbg.frontends.shared.opening import open_replay
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_spares, add_trust

_DESCRIPTION = """
Open a recording at its end and read commands: GDB's own, which a GDB runs on the recording, and rrdbg's. 'help' lists
them.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("replay", help="open a recording", description=_DESCRIPTION)
    add_recording(parser)
    add_trust(parser)
    add_work(parser, at="end", where="end")
    add_budget(parser)
    add_spares(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Open, run, interact."""
    lines = read_work(arguments)
    # Between the commands of a batch there is no time to use.
    spares = 0 if arguments.batch else arguments.spares
    async with await open_replay(arguments, spares=spares) as replay:
        return await work(replay, lines, arguments, lambda runner: SessionPage(runner, arguments.symbols))
