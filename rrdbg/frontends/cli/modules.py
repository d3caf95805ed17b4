"""``rrdbg modules``: the modules of a Linux guest's kernel, and where they lie."""

from __future__ import annotations

import argparse
from contextlib import aclosing

from rrdbg.commands.arguments import read_position
from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import open_replay
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_trust
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.render.json_lines import to_json
from rrdbg.render.text import render

_DESCRIPTION = """
List the modules that the kernel of a recorded Linux guest has loaded at a position, and where they lie.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "modules", help="list the kernel modules of a recorded Linux guest", description=_DESCRIPTION
    )
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--at", metavar="POSITION", default="end", help="where in the recording (default: its end)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_budget(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """List them.

    :raises UsageError: the guest is no Linux that is known.
    """
    waiting = Waiting(ProgressLine(quiet=arguments.json))
    async with await open_replay(arguments) as replay:
        replay.on_progress = waiting.show
        waiting.begin()
        session = Session(replay)
        await replay.seek(await read_position(session, arguments.at))
        async with aclosing(COMMANDS.run(session, "info modules")) as results:
            async for result in results:
                waiting.end()
                print(to_json(result) if arguments.json else render(result), flush=True)
    return 0
