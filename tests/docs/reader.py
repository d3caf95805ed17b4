"""Somebody who does what a page says, and looks whether it is so."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.blocks import Block, Prompt, Typed
from tests.docs.compared import Numbers
from tests.docs.sessions import Gdb, Host, Printed, Server, Shell
from tests.docs.worlds import Place, World

_SHELLS = ("replay", "attach")
_SERVERS = ("serve", "web")
"""Commands that go on until they are ended."""


class Reader:
    """Does what a page says, in its folder."""

    def __init__(self, place: Place, world: World, stack: ExitStack) -> None:
        self._place = place
        self._world = world
        self._stack = stack
        self._numbers = Numbers()
        self._host: Host | None = None
        self._open: dict[Prompt, Gdb | Shell] = {}

    def follow(self, block: Block) -> None:
        """Run a block, or hold it against what there is.

        :raises AssertionError: it is not so.
        """
        for said in block.said:
            consoles = self._place.consoles
            assert any(self._numbers.same([said], [other]) for other in consoles), f"{block}: no guest prints {said!r}"
        if block.language:
            _check_file(block)
        typed = block.typed
        if {line.prompt for line in typed} == {Prompt.HOST, Prompt.GDB} and typed[0].prompt is Prompt.HOST:
            self._close(Prompt.GDB)
        for line, following in zip(typed, [*(line.shown_prompt for line in typed[1:]), ""], strict=False):
            printed = self._run(line)
            self._compare(block, line, printed, status=0 if following else block.status)
            if printed.prompt and following.endswith(">"):
                right = self._numbers.same([following], [printed.prompt])
                assert right, f"{block}: after {line.text!r} the prompt is {printed.prompt!r} and not {following!r}"

    def _compare(self, block: Block, line: Typed, printed: Printed, status: int) -> None:
        told = "\n".join([*printed.output, "--- errors, and status:", *printed.errors, str(printed.status)])
        where = f"{block}: {line.shown_prompt} {line.text} prints:\n{told}"
        assert printed.status == status, where
        if line.output:
            forms = printed.output, printed.errors, printed.errors + printed.output, printed.output + printed.errors
            shown = "\n".join(line.output)
            assert any(self._numbers.same(line.output, form) for form in forms), f"{where}\n--- and not:\n{shown}"
        else:
            assert line.prompt is Prompt.HOST or not any(printed.errors), where

    def _run(self, line: Typed) -> Printed:
        text = self._numbers.typed(line.text)
        for word, own in self._place.words.items():
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", own, text)
        if line.prompt is Prompt.HOST:
            return self._on_host(text, line)
        session = self._session(line.prompt)
        if not text:
            assert isinstance(session, Shell), "only rrdbg's shell has something below its prompt"
            return session.toolbar()
        return session.run(text)

    def _session(self, prompt: Prompt) -> Gdb | Shell:
        if prompt not in self._open:
            command = self._world.opened.get(prompt.value)
            assert command, f"nothing with the prompt {prompt.value} is open"
            self._begin(command)
        return self._open[prompt]

    def _begin(self, command: str) -> Gdb | Shell:
        words = shlex.split(command)
        is_ours = Path(words[0]).name == "rrdbg" and words[1] in _SHELLS
        kind, prompt = (Shell, Prompt.SHELL) if is_ours else (Gdb, Prompt.GDB)
        self._close(prompt)
        session = kind(command, self._place.folder, self._place.environment)
        self._open[prompt] = session
        return session

    def _close(self, prompt: Prompt) -> None:
        if before := self._open.pop(prompt, None):
            before.end()

    def _on_host(self, text: str, line: Typed) -> Printed:
        words = shlex.split(text)
        program, *rest = (Path(words[0]).name, *words[1:])
        if program == "rrdbg" and rest[0] in _SERVERS:
            server = Server(text, self._place.folder, self._place.environment, lines=max(1, len(line.output)))
            self._stack.callback(server.end)
            return server.opened
        if program == "rrdbg" and rest[0] == "gdb":
            self._begin(text)
            return Printed([], [])
        if program == "rrdbg" and rest[0] in _SHELLS and "--batch" not in rest:
            session = self._begin(text)
            assert isinstance(session, Shell)
            return session.opened
        if self._host is None:
            self._host = Host(self._place.folder, self._place.environment)
            self._stack.callback(self._host.end)
        return self._host.run(text)

    def end(self) -> None:
        """Leave all sessions."""
        for session in self._open.values():
            session.end()


def _check_file(block: Block) -> None:
    """A block that shows a file must be one of its language."""
    text = "\n".join(block.lines)
    match block.language:
        case "json":
            json.loads(text)
        case "gdb":
            with tempfile.NamedTemporaryFile("w", suffix=".gdb") as file:
                file.write(text)
                file.flush()
                done = subprocess.run(["gdb", "-nx", "-batch", "-x", file.name], capture_output=True, text=True)
            assert not done.returncode, f"{block}: {done.stderr}"
            assert not done.stderr, f"{block}: {done.stderr}"
        case "sh":
            subprocess.run(["bash", "-n", "-c", text], check=True)
        case other:
            pytest.fail(f"{block}: nobody knows how to check {other!r}; mark it, or say how")
