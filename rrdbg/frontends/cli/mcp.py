"""``rrdbg mcp``: let an agent ask about recordings, by the Model Context Protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

from rrdbg.errors import UsageError
from rrdbg.frontends.shared.options import add_debugger, add_jobs, gdb_of
from rrdbg.store.library import Library

_DESCRIPTION = """
Serve the Model Context Protocol on standard input and output: tools with which an agent asks about the recordings of
the library, and those named here. It changes no guest, opens nothing else, and takes no recording for your own.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("mcp", help="let an agent ask about recordings", description=_DESCRIPTION)
    parser.add_argument(
        "recordings", nargs="*", metavar="RECORDING",
        help="a directory or a name in the library; where a question names none, the first one is meant (default: the "
        "latest)",
    )  # fmt: skip
    parser.add_argument("--skill", action="store_true", help="print how an agent uses it (SKILL.md), and leave")
    add_debugger(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until standard input ends."""
    try:
        from rrdbg.frontends.mcp.desk import Desk, Tools
        from rrdbg.frontends.mcp.server import serve, skill
    except ModuleNotFoundError as error:
        if error.name not in ("mcp", "pydantic"):
            raise
        raise UsageError("'rrdbg mcp' needs the SDK of the protocol: pip install 'rrdbg[mcp]' installs it.") from None
    if arguments.skill:
        print(skill(), end="")
        return 0
    library = Library.default()
    found = [library.find(name) for name in arguments.recordings]
    named = {path.resolve().name: path for path in found}
    if len(named) < len(found):
        raise UsageError("Two of the recordings have the same name; serve them one at a time.")
    symbols = Path(arguments.symbols).absolute() if arguments.symbols else None
    gdb = gdb_of(arguments)
    await serve(Desk(library, named, Tools(symbols, gdb, arguments.jobs)))
    return 0
