"""``rrdbg web``: a recording as a page in a browser."""

from __future__ import annotations

import argparse
import asyncio
import html
import signal
import sys
import webbrowser
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rrdbg.commands.arguments import read_position
from rrdbg.errors import UsageError
from rrdbg.frontends.repl.runner import Runner
from rrdbg.frontends.repl.session import start_debugger
from rrdbg.frontends.shared.opening import open_replay, symbols_of
from rrdbg.frontends.shared.options import add_budget, add_debugger, add_jobs, add_recording, add_spares, add_trust
from rrdbg.model.shown import shown
from rrdbg.store.workfolder import WorkFolder

if TYPE_CHECKING:
    from rrdbg.frontends.web.server import WebServer

_DESCRIPTION = """
Serve a recording as a page to work in, for a browser on this machine alone, until Ctrl-C: the whole run to zoom into,
the code and the variables at the cursor, movements in both directions, and questions about all of time.
"""

_MOST_PORT = 65_535
_SERVER = ("starlette", "uvicorn")
_SECRET = "Whoever has this address can read the guest's memory, from this machine alone."


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("web", help="work with a recording in a browser", description=_DESCRIPTION)
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--at", metavar="POSITION", default="end", help="open there (default: end)")
    parser.add_argument("--port", type=_port, metavar="N", default=0, help="serve there (default: one that is free)")
    parser.add_argument("--no-browser", action="store_true", help="start no browser, print the address alone")
    add_debugger(parser)
    add_budget(parser)
    add_spares(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes.

    :raises UsageError: the web server is not installed; nothing was opened then.
    """
    _check_installed()
    over = asyncio.Event()
    async with AsyncExitStack() as stack:
        replay = await stack.enter_async_context(await open_replay(arguments, spares=arguments.spares))
        runner = Runner(replay, await start_debugger(stack, replay, arguments, _warn))
        if runner.debugger is None:
            runner.session.symbols_file = symbols_of(replay.recording, arguments.symbols)
        page = SessionPage(runner, arguments.symbols)
        stack.push_async_callback(page.close)
        await replay.seek(await read_position(runner.session, arguments.at))
        runner.session.visits.note(replay.position)
        address = await page.serve(arguments.port)
        print(f"{replay.recording.name} is at {address}", flush=True)
        print(_SECRET, flush=True)
        if not arguments.no_browser:
            open_browser(address, stack.enter_context(WorkFolder()))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, over.set)
        await over.wait()
    return 0


class SessionPage:
    """The page of ``runner``'s session; ``symbols`` is the file of symbols that the user has named, if any."""

    def __init__(self, runner: Runner, symbols: str | None) -> None:
        self._runner = runner
        # What a recording from elsewhere names as its source is not shown, unless the symbols are the user's own.
        self._source = runner.replay.recording.own or symbols is not None
        self._server: WebServer | None = None

    async def switch(self, on: bool) -> str:
        """Serve it, or let it go; a sentence about what was done.

        :raises UsageError: the web server is not installed.
        """
        if on and self._server:
            return f"This session is at {self._server.address} already."
        if on:
            return f"This session is at {await self.serve(0)}\n{_SECRET}"
        if self._server is None:
            return "This session has no page."
        await self.close()
        return "The page is gone."

    async def serve(self, port: int) -> str:
        """Serve it at ``port``, 0 for one that is free; the address.

        :raises UsageError: the web server is not installed, or somebody else has the port.
        """
        _check_installed()
        from rrdbg.frontends.web.place import Places
        from rrdbg.frontends.web.server import WebServer
        from rrdbg.frontends.web.workbench import Workbench

        server = WebServer(Workbench(self._runner, Places(self._runner, source=self._source)))
        try:
            await server.listen(port)
        except BaseException:
            await server.close()
            raise
        self._server = server
        return server.address

    async def close(self) -> None:
        """Let it go, if it is there."""
        server, self._server = self._server, None
        if server:
            await server.close()


def open_browser(address: str, folder: Path) -> None:
    """Have the user's browser open ``address``, by way of a file in ``folder`` that he alone can read.

    The words of a program's command line can be read by everybody on this machine, and the token is not for everybody.
    """
    file = folder / "open.html"
    file.write_text(f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={html.escape(address)}">\n')
    webbrowser.open(file.as_uri())


def _check_installed() -> None:
    if not all(find_spec(name) for name in _SERVER):
        raise UsageError("A page needs a web server: pip install 'rrdbg[web]' installs it.")


def _warn(text: str) -> None:
    print(f"rrdbg: {shown(text)}", file=sys.stderr)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_PORT:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no port; it is a number to {_MOST_PORT:,}, 0 for any that is free."
        )
    return int(text)
