"""``rrdbg dap``: a debug adapter, which an editor starts to debug a recording."""

from __future__ import annotations

import argparse

from rrdbg.errors import UsageError
from rrdbg.frontends.dap.server import serve
from rrdbg.frontends.dap.session import Options
from rrdbg.frontends.shared.options import add_spares
from rrdbg.frontends.shared.standard_streams import standard_input, standard_output
from rrdbg.links.gdb_choice import USUAL

_DESCRIPTION = """
Speak the Debug Adapter Protocol on standard input and output, for an editor that debugs a recording. What is said here
holds where the editor's launch request says nothing ("recording", "symbols", "gdb", "at").
"""
_LONGEST_LINE = 1 << 16


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("dap", help="debug a recording in an editor", description=_DESCRIPTION)
    parser.add_argument("recording", nargs="?", help="a directory or a name in the library (default: the latest)")
    parser.add_argument("--at", metavar="POSITION", default="end", help="open there (default: end)")
    parser.add_argument("--symbols", metavar="FILE", help="an ELF file with symbols (default: the recorded kernel)")
    parser.add_argument(
        "--gdb", dest="gdb_program", metavar="PROGRAM", default=USUAL,
        help="the GDB to use (default: gdb or gdb-multiarch, whichever knows the guest)",
    )  # fmt: skip
    add_spares(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until the editor disconnects."""
    options = Options(
        arguments.recording, arguments.symbols, arguments.gdb_program, arguments.at, arguments.spares
    )  # fmt: skip
    reader = await standard_input(_LONGEST_LINE)
    if reader is None:
        raise UsageError("'rrdbg dap' is started by an editor: standard input must be a pipe, not a file.")
    await serve(reader, await standard_output(), options)
    return 0
