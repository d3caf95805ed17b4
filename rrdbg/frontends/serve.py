"""``rrdbg serve``: let any GDB connect to a recording."""

from __future__ import annotations

import argparse
import asyncio
import signal

from rrdbg.frontends.opening import add_budget, add_recording, open_replay
from rrdbg.frontends.server.connection import Server

_DESCRIPTION = """
Serve a recording over GDB's remote protocol until Ctrl-C. In GDB: target remote ADDRESS.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("serve", help="let GDB connect to a recording", description=_DESCRIPTION)
    add_recording(parser)
    parser.add_argument(
        "--listen", metavar="ADDRESS", default="localhost:1234", help="unix:PATH or localhost:PORT (default: 1234)"
    )
    add_budget(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with await open_replay(arguments) as replay:
        server = Server(replay)
        await server.listen(arguments.listen)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, over.set)
        try:
            print(f"Serving {replay.recording.name}; in GDB: target remote {server.address}", flush=True)
            await over.wait()
        finally:
            await server.close()
    return 0
