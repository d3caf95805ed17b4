"""A real terminal with the shell in it: a pseudo-terminal, and a screen that knows what a user would see."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import pyte

from tests.processes import children, qemus_of

PROMPT = r"\d+% [\d,:]+> *$"
TAB, UP, RIGHT, CTRL_C, CTRL_D, CTRL_R = "\t", "\x1b[A", "\x1b[C", "\x03", "\x04", "\x12"


class _Screen(pyte.HistoryScreen):
    """Answers, as a terminal does, when it is asked where its cursor is."""

    def __init__(self, answer: Callable[[str], None], columns: int, rows: int, history: int) -> None:
        self._answer = answer
        super().__init__(columns, rows, history=history)

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class Terminal:
    """Runs ``rrdbg WORDS`` in ``rows`` x ``columns`` cells, with its state below ``home``.

    It is started in ``folder``; what it says to standard error is on the screen, unless it goes to ``errors``.
    """

    def __init__(
        self,
        words: Sequence[str],
        home: Path,
        *,
        rows: int = 40,
        columns: int = 100,
        folder: Path | None = None,
        errors: Path | None = None,
        **environment: str,
    ) -> None:
        self.screen = _Screen(self._answer, columns, rows, history=2000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        told = f"2>{shlex.quote(str(errors))}" if errors else ""
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            "/bin/sh", ["-c", f'exec "$0" -m rrdbg "$@" {told}', sys.executable, *words],
            dimensions=(rows, columns), timeout=60, cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", "RRDBG_DIR": str(home), "XDG_STATE_HOME": str(home / "state")}
            | environment,
        )  # fmt: skip

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close(force=True)

    @property
    def text(self) -> str:
        """What is on the screen and has been scrolled off, the last line the cursor's."""
        above = ["".join(line[x].data for x in range(self.screen.columns)) for line in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*above, *self.screen.display[: self.screen.cursor.y + 1]])

    @property
    def below(self) -> str:
        """What is on the screen below the cursor: menus and the toolbar."""
        return "\n".join(line.rstrip() for line in self.screen.display[self.screen.cursor.y + 1 :])

    @property
    def pid(self) -> int:
        """The shell's process."""
        assert self.child.pid is not None
        return self.child.pid

    def _answer(self, data: str) -> None:
        self.child.send(data)

    def type(self, keys: str) -> None:
        """Press keys."""
        self.child.send(keys)

    def wait_for(self, pattern: str, seconds: float = 60, *, below: bool = False) -> str:
        """Wait until ``pattern`` is on the screen, up to the cursor or ``below`` it; the text that has it.

        :raises AssertionError: it does not come; the message is the screen.
        """
        deadline = time.monotonic() + seconds
        while not re.search(pattern, text := self.below if below else self.text, re.MULTILINE):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} does not come:\n{self.text}\n--- below ---\n{self.below}"
            self._read(min(left, 1.0))
        return text

    def run(self, line: str, seconds: float = 60) -> str:
        """Type a line and wait for the next prompt; what was shown between."""
        typed = re.compile(re.escape(f"> {line}") + r" *\n")
        before = len(typed.findall(self.text))
        self.type(f"{line}\r")
        pattern = re.escape(f"> {line}") + r" *\n(?P<shown>(?:(?!> " + re.escape(line) + r" *\n)[\s\S])*)\Z"
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            # The same line may have been typed before.
            if found and re.search(PROMPT, found["shown"]) and len(typed.findall(self.text)) > before:
                return found["shown"]
            assert time.monotonic() < deadline, f"no prompt after {line!r}:\n{self.text}"
            self._read(1.0)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size, and wait until the prompt is drawn anew."""
        drawn = len(self.raw)
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)
        deadline = time.monotonic() + 60
        while len(self.raw) == drawn:
            assert time.monotonic() < deadline, "nothing is drawn after the window has changed"
            self._read(1.0)
        self.wait_for(PROMPT)

    def qemus(self) -> list[int]:
        """The pids of the QEMUs that the shell has started."""
        return qemus_of(self.pid)

    def children(self, name: str) -> list[int]:
        """The pids of the programs called ``name`` that the shell has started."""
        return children(self.pid, name)

    def ended(self, seconds: float = 30) -> int:
        """Wait for the end; the exit status."""
        self.child.expect(pexpect.EOF, timeout=seconds)
        self.child.wait()
        assert self.child.exitstatus is not None
        return self.child.exitstatus

    def _read(self, seconds: float) -> None:
        try:
            data = self.child.read_nonblocking(1 << 16, timeout=seconds)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            raise AssertionError(f"rrdbg has ended:\n{self.text}") from None
        self.raw += data
        self._stream.feed(data)
