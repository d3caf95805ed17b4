"""Run command lines one after another, print what they answer, and let Ctrl-C stop the running one."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path

from rrdbg.commands.arguments import read_position
from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.progress import Progress
from rrdbg.engine.replay import Replay
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.progress import ProgressLine
from rrdbg.model.results import Message, Result
from rrdbg.render.json_lines import error_to_json, to_json
from rrdbg.render.text import render


class Shell:
    """A session whose answers go to standard output, as text or as JSON lines."""

    def __init__(self, replay: Replay, *, json: bool = False, quiet: bool = False) -> None:
        self.session = Session(replay)
        self._json = json
        self._progress = ProgressLine(quiet=quiet or json)
        self._running: asyncio.Task[list[Result]] | None = None
        self._began = 0.0
        replay.on_progress = self._show_progress

    def __enter__(self) -> Shell:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    async def open(self, position: str) -> None:
        """Go to where the session begins, and say what was opened.

        :raises RrdbgError: there is no such position, or QEMU does not start.
        """
        await self._perform(self._open(position))

    async def run(self, line: str) -> None:
        """Run one line and print its answers; an empty line or a comment does nothing.

        :raises RrdbgError: the command failed.
        """
        if line.strip() and not line.lstrip().startswith("#"):
            await self._perform(COMMANDS.run(self.session, line))

    async def run_all(self, lines: Iterable[str]) -> None:
        """Run lines until one fails or the session is over.

        :raises RrdbgError: a command failed; the later ones were not run.
        """
        for line in lines:
            if self.session.over:
                return
            await self.run(line)

    def show_error(self, error: RrdbgError) -> None:
        """Print an error as the front end was asked to."""
        if self._json:
            print(error_to_json(error), flush=True)
        else:
            print(error, file=sys.stderr, flush=True)

    async def _open(self, position: str) -> list[Result]:
        replay = self.session.replay
        stop = await replay.seek(await read_position(self.session, position))
        manifest = replay.recording.manifest
        opened = Message(f"{replay.recording.name}: {manifest.icount:,} instructions; ended: {manifest.ended}.")
        return [opened, await self.session.stopped(stop)]

    async def _perform(self, work: Coroutine[object, object, list[Result]]) -> None:
        self._began = time.monotonic()
        self._running = asyncio.create_task(work)
        try:
            results = await self._running
        finally:
            self._running = None
            self._progress.clear()
        width = shutil.get_terminal_size((100, 24)).columns
        for result in results:
            print(to_json(result) if self._json else render(result, width), flush=True)

    def _interrupt(self) -> None:
        if self._running:
            self._running.cancel()

    def _show_progress(self, progress: Progress) -> None:
        seconds = time.monotonic() - self._began
        share = progress.share
        left = f", {seconds / share * (1 - share):.0f} s left" if share > 0.05 else ""
        self._progress.show(f"at {progress.icount:,}: {100 * share:.0f}% done{left} (Ctrl-C stops)")


def read_script(path: str) -> list[str]:
    """The lines of a command file.

    :raises UsageError: it cannot be read.
    """
    try:
        return Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the command file {path}: {error}.") from None
