"""``rrdbg gdb``: a server and a GDB that is connected to it, with the guest's symbols."""

from __future__ import annotations

import argparse
import asyncio
import signal

from rrdbg.frontends.cli.gdbinit import source_line
from rrdbg.frontends.server.connection import Server
from rrdbg.frontends.shared.opening import open_replay, symbols_of
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_spares, add_symbols, add_trust
from rrdbg.frontends.shared.symbol_lines import symbol_lines
from rrdbg.links.gdb_choice import USUAL, find_gdb
from rrdbg.links.gdb_watch import ANSWER_SECONDS
from rrdbg.model.program.code_mode import described_as
from rrdbg.store.workfolder import WorkFolder

_DESCRIPTION = """
Start GDB on a recording. Everything after -- goes to GDB.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "gdb", help="start GDB on a recording", description=_DESCRIPTION,
        usage="rrdbg gdb [-h] [options] [recording] [-- GDB ARGUMENT...]",
    )  # fmt: skip
    add_recording(parser)
    add_trust(parser)
    add_symbols(parser)
    parser.add_argument(
        "--gdb", metavar="PROGRAM", default=USUAL,
        help="the GDB to start (default: gdb or gdb-multiarch, whichever knows the guest)",
    )  # fmt: skip
    add_budget(parser)
    add_spares(parser)
    add_jobs(parser)
    parser.set_defaults(run=run, passes_on=True)


async def run(arguments: argparse.Namespace) -> int:
    """Serve, run GDB, and return its exit status.

    :raises QemuLaunchError: there is no GDB that knows the guest.
    """
    async with await open_replay(arguments, spares=arguments.spares) as replay:
        program = await find_gdb(replay.recording.manifest.invocation.architecture, arguments.gdb)
        server = Server(replay)
        with WorkFolder() as folder:
            await server.listen(f"unix:{folder}/socket")
            symbols = server.stub.session.symbols_file = symbols_of(replay.recording, arguments.symbols)
            lines = await symbol_lines(replay, symbols)
            described = described_as(replay.recording.manifest.invocation.architecture)
            words = [
                program, "-q", "-iex", f"set remotetimeout {ANSWER_SECONDS:.0f}", "-ex", source_line(),
                *(word for line in lines for word in ("-ex", line)),
                *(["-ex", f"set architecture {described}"] if described else []),
                "-ex", f"target remote {server.address}", *arguments.theirs,
            ]  # fmt: skip
            loop = asyncio.get_running_loop()
            # Ctrl-C on the terminal is for GDB, which asks us to stop.
            loop.add_signal_handler(signal.SIGINT, lambda: None)
            try:
                process = await asyncio.create_subprocess_exec(*words)
                return await process.wait()
            finally:
                loop.remove_signal_handler(signal.SIGINT)
                await server.close()
