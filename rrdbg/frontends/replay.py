"""``rrdbg replay``: open a recording, run commands, and stay in the shell unless told otherwise."""

from __future__ import annotations

import argparse

from rrdbg.errors import RrdbgError
from rrdbg.frontends.opening import add_budget, add_recording, open_replay
from rrdbg.frontends.repl import interact
from rrdbg.frontends.shell import Shell, read_script

_DESCRIPTION = """
Open a recording at its end and read commands. 'help' lists them; GDB's names and abbreviations work.
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
    add_budget(parser)
    parser.set_defaults(run=run, work=None)


async def run(arguments: argparse.Namespace) -> int:
    """Open, run, interact."""
    lines = [
        line for option, value in arguments.work or () for line in ([value] if option == "-ex" else read_script(value))
    ]
    async with await open_replay(arguments) as replay:
        with Shell(replay, json=arguments.json) as shell:
            try:
                await shell.open(arguments.at)
                await shell.run_all(lines)
            except RrdbgError as error:
                shell.show_error(error)
                if arguments.batch:
                    return error.exit_code
            if not arguments.batch and not shell.session.over:
                await interact(shell)
    return 0
