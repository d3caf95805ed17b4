"""Where answers go: standard output as text or JSON lines, a file, or a program."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.repl.redirect import Redirected, Sink
from rrdbg.model.results import Result, Stopped
from rrdbg.model.shown import shown
from rrdbg.render.colours import coloured
from rrdbg.render.csv_table import to_csv
from rrdbg.render.json_lines import error_to_json, to_json
from rrdbg.render.text import render


class Outlet:
    """Shows results; ``json`` makes each a JSON object, ``colours`` makes text colourful on a terminal.

    Where no prompt tells it (``positions``), GDB's movements, too, end with the position.
    """

    def __init__(self, *, json: bool = False, colours: bool = False, positions: bool = False) -> None:
        self.json = json
        self._colours = colours and not json
        self._positions = positions

    def text(self, result: Result) -> str:
        """``result`` as it is shown."""
        if self.json:
            return to_json(result)
        text = render(result, shutil.get_terminal_size((100, 24)).columns)
        if self._positions and isinstance(result, Stopped) and result.text:
            here = result.stop.position
            return f"{text}\n{here} ({here.percent(result.end):.1f}%)"
        return text

    def show(self, result: Result) -> None:
        """Print ``result``."""
        text = self.text(result)
        if text:
            print(coloured(text) if self._colours else text, flush=True)

    def show_error(self, error: RrdbgError) -> None:
        """Print an error."""
        if self.json:
            print(error_to_json(error), flush=True)
        else:
            self.warn(str(error))

    def warn(self, text: str) -> None:
        """Print a sentence to standard error."""
        print(shown(text), file=sys.stderr, flush=True)

    async def send(self, results: Sequence[Result], wanted: Redirected) -> None:
        """Give ``results`` to the file or program that was asked for; a file's name may say that it holds JSON or CSV.

        :raises UsageError: the file cannot be written.
        """
        if wanted.sink is Sink.PROGRAM:
            await self.run_program(wanted.target, _lines(map(self.text, results)))
            return
        match Path(wanted.target).suffix:
            case ".json":
                text = _lines(map(to_json, results))
            case ".csv":
                text = to_csv(results)
            case _:
                text = _lines(map(self.text, results))
        try:
            with Path(wanted.target).expanduser().open("a" if wanted.sink is Sink.END_OF_FILE else "w") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"Cannot write {wanted.target}: {error.strerror}.") from None

    async def run_program(self, command: str, text: str | None = None) -> None:
        """Run a command of the user's shell in this terminal, with ``text`` as its input.

        :raises UsageError: there is no command, or no such program.
        """
        if not command:
            raise UsageError("After '!' comes a command of your shell: !ls -l")
        sys.stdout.flush()
        process = await asyncio.create_subprocess_shell(
            command, stdin=None if text is None else asyncio.subprocess.PIPE
        )
        await process.communicate(None if text is None else text.encode())


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)
