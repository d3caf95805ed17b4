"""``rrdbg serve``: let any GDB connect to a recording."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack

from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.frontends.server.connection import Server
from rrdbg.frontends.shared.opening import open_replay
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_spares, add_trust
from rrdbg.store.workfolder import WorkFolder

_DESCRIPTION = """
Serve a recording over GDB's remote protocol until Ctrl-C. In GDB: target remote ADDRESS. Several may connect; each
has a position of its own, or with --shared all have the same.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("serve", help="let GDB connect to a recording", description=_DESCRIPTION)
    add_recording(parser)
    add_trust(parser)
    parser.add_argument(
        "--listen", metavar="ADDRESS", default="localhost:1234",
        help="unix:PATH, unix (a socket of its own, for this user) or localhost:PORT (default: localhost:1234)",
    )  # fmt: skip
    parser.add_argument(
        "--public", action="store_true", help="let --listen name another HOST:PORT, for everybody who can reach it"
    )
    parser.add_argument(
        "--shared", action="store_true", help="one position for all clients: where one of them goes the others follow"
    )
    parser.add_argument("--until-eof", action="store_true", help="end also when standard input (a pipe) is closed")
    add_budget(parser)
    add_spares(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        replay = await stack.enter_async_context(await open_replay(arguments, spares=arguments.spares))
        path = replay.recording.layout.root
        server = Server(replay, another=lambda: Replay.open(path, client=arguments.subcommand), shared=arguments.shared)
        where = arguments.listen
        if where == "unix":
            where = f"unix:{stack.enter_context(WorkFolder())}/socket"
        if await server.listen(where, public=arguments.public):
            print(
                f"Whoever can reach {server.address} can now read the guest's memory and this recording, without a "
                "password; use it in a network that you trust.", file=sys.stderr, flush=True,
            )  # fmt: skip
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, over.set)
        if arguments.until_eof:
            _await_eof(loop, over)
        try:
            print(f"Serving {replay.recording.name}; in GDB: target remote {server.address}", flush=True)
            await over.wait()
        finally:
            await server.close()
    return 0


def _await_eof(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    """Set ``over`` when whoever holds the other end of standard input has gone, however that came."""
    descriptor = sys.stdin.fileno()

    def read() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            over.set()

    try:
        loop.add_reader(descriptor, read)
    except OSError:
        raise UsageError("--until-eof needs a pipe or a terminal as standard input.") from None
