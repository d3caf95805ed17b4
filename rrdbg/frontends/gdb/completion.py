"""What can follow on the command line."""

from __future__ import annotations

from collections.abc import Iterable

import gdb

from rrdbg.errors import RrdbgError
from rrdbg.frontends.gdb.client import Client
from rrdbg.frontends.gdb.declared import Declared, Vocabulary

_GDBS = {
    "expression": gdb.COMPLETE_EXPRESSION,
    "condition": gdb.COMPLETE_EXPRESSION,
    "location": gdb.COMPLETE_LOCATION,
    "function": gdb.COMPLETE_SYMBOL,
    "text": gdb.COMPLETE_NONE,
}


class Completion:
    """Completes the arguments of commands; bookmarks are those of the recording that is open."""

    def __init__(self, client: Client, vocabulary: Vocabulary) -> None:
        self._client = client
        self._vocabulary = vocabulary

    def complete(self, command: Declared, text: str, word: str | None) -> list[str] | int:
        """What GDB's ``Command.complete`` is to return: words, or one of GDB's own completers.

        GDB asks twice, at first without a ``word``, to learn where one begins.
        """
        before, _, last = text.rpartition(" ")
        place = len(before.split())
        kind = command.takes[min(place, len(command.takes) - 1)] if command.takes else ""
        words = [*_followers(command.words, before), *self._words(kind)]
        if place == 0:
            words += [variant.second for variant in self._vocabulary.variants(command)]
        if not words and kind in _GDBS:
            return _GDBS[kind]
        if word is None:
            return []
        # GDB takes only the last part of what stands between blanks to be the word: in @oops it is oops.
        skipped = len(last) - len(word)
        return sorted({candidate[skipped:] for candidate in words if candidate.startswith(last)})

    def _words(self, kind: str) -> Iterable[str]:
        match kind:
            case "position":
                return ["start", "end", *(f"@{name}" for name in self._bookmarks())]
            case "bookmark":
                return self._bookmarks()
            case "kind of event":
                return self._vocabulary.event_kinds
            case "command":
                return self._vocabulary.names
            case "register":
                return _registers()
            case _:
                return ()

    def _bookmarks(self) -> Iterable[str]:
        try:
            channel = self._client.find()
        except RrdbgError:
            return ()  # a completer has nobody to tell
        return channel.place.bookmarks if channel else ()


def _followers(phrases: Iterable[str], before: str) -> list[str]:
    """The next words of those ``phrases`` of which ``before`` is written already."""
    done = before.split()
    split = [phrase.split() for phrase in phrases]
    return [words[len(done)] for words in split if words[: len(done)] == done and len(words) > len(done)]


def _registers() -> list[str]:
    try:
        return [register.name for register in gdb.selected_frame().architecture().registers()]
    except gdb.error:
        return []
