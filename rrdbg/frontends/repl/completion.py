"""Completion: of our commands and their arguments by what the registry declares, of everything else by GDB."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.registry import Command, Takes
from rrdbg.frontends.repl.shell import Shell
from rrdbg.model.timeline.events import EventKind
from rrdbg.store.library import Library

_PLACES = ("start", "end", "50%")


class CommandCompleter(Completer):
    """Completes what is typed for ``shell``, without keeping the prompt waiting."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Nothing: the prompt asks :meth:`get_completions_async`."""
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Completions of the text before the cursor, ours first."""
        line = document.text_before_cursor.lstrip()
        word = line[line.rfind(" ") + 1 :]
        seen = set()
        for found in [*self._ours(line, word), *await self._gdbs(line, word)]:
            if found not in seen:
                seen.add(found)
                yield Completion(found, start_position=-len(word))

    def _ours(self, line: str, word: str) -> list[str]:
        names = [command.name for command in COMMANDS.commands if command.name.startswith(line)]
        found = [name[len(line) - len(word) :] for name in names]
        called = COMMANDS.exact(line) if " " in line else None
        if called:
            command, text = called
            index = len(text.split()) - bool(word)
            found += [choice for choice in self._choices(command, index) if choice.startswith(word)]
        return found

    def _choices(self, command: Command, index: int) -> list[str]:
        """What may be written as argument number ``index``."""
        takes = command.takes[min(index, len(command.takes) - 1)] if command.takes else None
        bookmarks = self._shell.replay.timeline.bookmarks
        match takes:
            case Takes.POSITION:
                return [*_PLACES, *(f"@{name}" for name in bookmarks)]
            case Takes.BOOKMARK:
                return list(bookmarks)
            case Takes.EVENT_KIND:
                return list(EventKind)
            case Takes.COMMAND:
                return [command.name for command in COMMANDS.commands]
            case Takes.RECORDING:
                return [path.name for path in Library.default().recordings()]
        return list(command.words)

    async def _gdbs(self, line: str, word: str) -> list[str]:
        if self._shell.debugger is None:
            return []
        asked = _for_gdb(line)
        found = await self._shell.debugger.complete(asked)
        start = len(asked) - len(word)
        return [text[start:] for text in found if text.startswith(asked[:start])]


def _for_gdb(line: str) -> str:
    """The line to have GDB complete: the expression or location in a command of ours is one of GDB's, too."""
    called = COMMANDS.exact(line)
    if called is None or called[0].in_gdb or not called[0].takes:
        return line
    command, asked = called
    takes = command.takes[0]
    if takes is Takes.NUMBER:
        takes, asked = command.takes[1], asked.partition(" ")[2]
    prefix = {
        Takes.EXPRESSION: "print ",
        Takes.CONDITION: "print ",
        Takes.LOCATION: "break ",
        Takes.FUNCTION: "break ",
        Takes.COMMAND: "help ",
    }.get(takes)
    return prefix + asked if prefix else line
