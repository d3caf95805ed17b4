"""The commands ``rrdbg ...``, made from what the registry declares."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import gdb

from rrdbg.errors import RrdbgError
from rrdbg.frontends.gdb.channel import Json, Watcher
from rrdbg.frontends.gdb.client import Client
from rrdbg.frontends.gdb.completion import Completion
from rrdbg.frontends.gdb.declared import Declared, Vocabulary, help_text
from rrdbg.frontends.gdb.progress import ProgressLine
from rrdbg.frontends.gdb.shown import Shown
from rrdbg.frontends.gdb.symbols import translate


class Prefix(gdb.Command):
    """A word that other commands follow; ``text`` is its help."""

    def __init__(self, name: str, text: str) -> None:
        self.__doc__ = text
        super().__init__(name, gdb.COMMAND_RUNNING, prefix=True)


class RrdbgCommand(gdb.Command):
    """A command of ours: an error of rrdbg's is shown as one sentence."""

    def __init__(self, name: str, text: str, work: Callable[[str], None], *, repeats: bool = False) -> None:
        self.__doc__ = text
        self._work = work
        self._repeats = repeats
        super().__init__(f"rrdbg {name}", gdb.COMMAND_RUNNING)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """What GDB calls."""
        if not self._repeats:
            self.dont_repeat()
        try:
            self._work(argument.strip())
        except (RrdbgError, gdb.error) as error:
            raise gdb.GdbError(str(error)) from None


class RegistryCommand(RrdbgCommand):
    """One of the registry's, called ``name`` here."""

    def __init__(self, name: str, command: Declared, runner: Runner) -> None:
        self._command = command
        self._runner = runner
        text = help_text(name, command, runner.vocabulary.variants(command))
        super().__init__(name, text, self._run, repeats=command.repeats)

    def _run(self, arguments: str) -> None:
        self._runner.run(self._command, arguments)

    def complete(self, text: str, word: str | None) -> list[str] | int:
        """What GDB calls."""
        return self._runner.completion.complete(self._command, text, word)


class Runner:
    """Runs commands of the registry's for a user who reads the answers."""

    def __init__(self, client: Client, vocabulary: Vocabulary) -> None:
        self._client = client
        self._known: set[str] = set()
        self.vocabulary = vocabulary
        self.completion = Completion(client, vocabulary)

    def add(self, vocabulary: Vocabulary) -> None:
        """Add the commands to GDB that it has not yet."""
        for name, command in vocabulary.names.items():
            first, _, second = name.partition(" ")
            if second and first not in self._known:
                Prefix(f"rrdbg {first}", f"Commands of rrdbg that begin with '{first}'.")
                self._known.add(first)
            if name not in self._known:
                RegistryCommand(name, command, self)
                self._known.add(name)

    def run(self, command: Declared, arguments: str) -> None:
        """Run ``command``, print what it answers, and where the guest is if it has moved.

        :raises RrdbgError: it failed.
        """
        line = f"{command.name} {translate(command, arguments)}".strip()
        shown = Shown(command, arguments)
        before = self._client.channel.place
        symbols: list[Json] = []

        def tell(result: Json) -> None:
            if result["kind"] == "symbols-at" and not result["loaded"]:
                symbols.append(result)
            else:
                _write(shown.text(result))

        with ProgressLine() as progress:
            try:
                show = progress.around(tell)
                answer = self._client.run(line, Watcher(show, progress.show))
            except RrdbgError:
                if not self._client.channel.place.same_state(before):
                    show_frame()
                raise
        for found in symbols:
            # GDB may ask the guest meanwhile, which waits for the answer before.
            _load(found)
        if answer.changed:
            show_frame()


def _load(found: Json) -> None:
    """Read the symbols that the server has found the place of."""
    with contextlib.suppress(gdb.error):  # the first time there are none of this file
        gdb.execute(f'remove-symbol-file "{found["path"]}"', to_string=True)
    gdb.execute(found["line"], to_string=True)
    _write(f"{found['text']}.")


def show_frame() -> None:
    """What GDB shows where it stops: the frame, the source line, and what is on display."""
    try:
        gdb.execute("frame")
        gdb.execute("display")
    except gdb.error as error:
        gdb.write(f"{error}\n", gdb.STDERR)


def _write(text: str) -> None:
    gdb.write(f"{text}\n")
