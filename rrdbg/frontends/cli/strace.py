"""``rrdbg strace``: the system calls of a Linux guest that nobody traced."""

from __future__ import annotations

import argparse
from contextlib import aclosing

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import open_replay
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_stretch, add_trust
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.program.scope import task_words
from rrdbg.model.results import Result
from rrdbg.render.csv_table import to_csv
from rrdbg.render.json_lines import to_json
from rrdbg.render.text import render

_DESCRIPTION = """
List the system calls that the programs of a recorded Linux guest have made: position, task, arguments, result, and how
many instructions it took. x86-64, aarch64 and riscv64 guests; calls of 32-bit programs are left out.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "strace", help="list the system calls of a recorded Linux guest", description=_DESCRIPTION
    )
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--task", metavar="NAME|PID", help="those of this task only; a process' number means all of it")
    parser.add_argument("--syscall", metavar="NAME", help="calls of this name only")
    add_stretch(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="comma-separated values, at the end")
    add_budget(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """List them as they are found.

    :raises UsageError: it is not known how the guest's kernel is called.
    """
    options = [task_words(arguments.task or ""), f"--syscall {arguments.syscall}" if arguments.syscall else ""]
    line = " ".join(["strace", *options, "from", arguments.start, "to", arguments.end])
    kept: list[Result] = []
    waiting = Waiting(ProgressLine(quiet=arguments.json))
    async with await open_replay(arguments) as replay:
        replay.on_progress = waiting.show
        waiting.begin()
        async with aclosing(COMMANDS.run(Session(replay), line)) as results:
            async for result in results:
                if arguments.csv:
                    kept.append(result)
                    continue
                waiting.end()
                print(to_json(result) if arguments.json else render(result), flush=True)
    waiting.end()
    if arguments.csv:
        print(to_csv(kept), end="")
    return 0
