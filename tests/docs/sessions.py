"""Who is typed to on a page: the host's shell, a GDB, and rrdbg's shell at a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.shell.terminal import PROMPT, Terminal

_PATIENCE = 250
"""Seconds that anything may take; a machine may be busy with other tests."""

_COLUMNS = 300
"""A terminal so wide that nothing of what is compared is broken into two lines."""

_MARK = re.compile(r"@@mark (\d*)@@$")
_PROGRESS = re.compile(r".*Ctrl-C stops")
"""What a busy machine makes rrdbg print, and a quick one does not."""

_GDBS_PROMPT = re.compile(r"^(?:(?:\d+% [\d,:]+ )?\(gdb\) )+")


@dataclass(frozen=True)
class Printed:
    """What a line that was typed has led to."""

    output: list[str]
    errors: list[str]
    status: int = 0
    prompt: str = ""
    """The prompt that was shown then."""


class _Piped:
    """A program that reads lines from a pipe, and prints a mark when it is told to."""

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._errors = folder / f".errors-{os.urandom(4).hex()}"
        self._errors.touch()
        self._read = 0
        self._process = subprocess.Popen(
            ["bash", "-c", f"{command} 2>{self._errors.name}"], cwd=folder, env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def exchange(self, line: str, marked: str) -> tuple[list[str], str]:
        """Type ``line`` and ``marked``, which prints a mark; the lines printed, and what the mark says."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n{marked}\n")
        output = []
        while not (mark := _MARK.search(text := self.read_line())):
            output.append(text)
        return output, mark[1]

    def read_line(self) -> str:
        """The next line that it prints.

        :raises AssertionError: it has ended, or prints none for a long time.
        """
        assert self._process.stdout is not None
        watchdog = threading.Timer(_PATIENCE, self._signal, [signal.SIGKILL])
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        assert line, f"it has ended, or is silent: {self._process.args!r}\n{self._errors.read_text()}"
        return line.rstrip("\n")

    def errors(self) -> list[str]:
        """The lines that it has printed to standard error since this was asked last."""
        said = self._errors.read_text()[self._read :]
        self._read += len(said)
        return _spoken(said)

    def end(self) -> None:
        """End it and all that it has started."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._signal(signal.SIGTERM)
            self._process.wait(_PATIENCE)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Host(_Piped):
    """A shell, for all commands of a page, so that they have the same variables."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__("exec bash", folder, environment)
        self._folder = folder

    def run(self, command: str) -> Printed:
        """Run ``command`` to its end, with nothing to read."""
        line = f"{{ {command}\n}} </dev/null 2>.told"
        output, status = self.exchange(line, "echo @@mark $?@@")
        told = _spoken((self._folder / ".told").read_text())
        return Printed(output, self.errors() + told, int(status))


class Server(_Piped):
    """A program that goes on until the page ends, and prints that it can be connected to."""

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str], lines: int) -> None:
        super().__init__(f"exec {command}", folder, environment)
        self.opened = Printed([self.read_line() for _ in range(lines)], [])


class Gdb(_Piped):
    """A GDB, which ``command`` starts."""

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(f"exec {command}", folder, environment)
        self.run("set width 0")

    def end(self) -> None:
        """Have it leave its target first: GDB 13 dumps its core where that goes before it."""
        self.exchange("disconnect", r"echo @@mark @@\n")
        super().end()

    def run(self, line: str) -> Printed:
        """Have it run ``line``."""
        output, _ = self.exchange(line, r"echo @@mark @@\n")
        return Printed([_GDBS_PROMPT.sub("", text) for text in output], self.errors())


class Shell:
    """rrdbg's shell, which ``command`` starts, at a terminal."""

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        words = shlex.split(command)
        self._errors = folder / ".errors-shell"
        self._read = 0
        self._terminal = Terminal(
            words[1:], folder, columns=_COLUMNS, rows=50, folder=folder, errors=self._errors, **environment
        )
        shown = self._terminal.wait_for(PROMPT, _PATIENCE).splitlines()
        self.opened = self._printed(shown)

    def run(self, line: str) -> Printed:
        """Type ``line`` and wait for the next prompt."""
        return self._printed(self._terminal.run(line, _PATIENCE).splitlines())

    def toolbar(self) -> Printed:
        """What is shown below the prompt."""
        return Printed(self._terminal.wait_for(r"\S", below=True).splitlines(), [])

    def end(self) -> None:
        """Leave it."""
        with self._terminal:
            self._terminal.type("quit\r")
            self._terminal.ended(_PATIENCE)

    def _printed(self, shown: list[str]) -> Printed:
        said = self._errors.read_text()[self._read :]
        self._read += len(said)
        return Printed(shown[:-1], _spoken(said), prompt=shown[-1].strip())


def _spoken(text: str) -> list[str]:
    return [line for line in text.splitlines() if not _PROGRESS.match(line)]
