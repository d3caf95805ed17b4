"""The commands for front ends: ``-rrdbg-seek`` and its kin in GDB/MI, with answers in values, not in text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gdb

from rrdbg.errors import RrdbgError
from rrdbg.frontends.gdb.channel import Json, Place, Watcher
from rrdbg.frontends.gdb.client import Client
from rrdbg.frontends.gdb.declared import Declared, Vocabulary
from rrdbg.frontends.gdb.symbols import translate

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class MiCommand(gdb.MICommand):
    """``-rrdbg-NAME``, which answers what ``work`` makes of its arguments."""

    def __init__(self, name: str, work: Callable[[str], dict[str, Any]]) -> None:
        self._work = work
        super().__init__(f"-rrdbg-{name.replace(' ', '-')}")

    def invoke(self, arguments: list[str]) -> dict[str, Any]:
        """What GDB calls."""
        try:
            return self._work(" ".join(arguments))
        except (RrdbgError, gdb.error) as error:
            raise gdb.GdbError(str(error)) from None


class MachineInterface:
    """Makes them, and tells front ends of each jump by ``=rrdbg-moved`` where GDB can (14 and later)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: set[str] = set()
        client.on_jump(self._notify)

    def add(self, vocabulary: Vocabulary) -> None:
        """Add those that are missing."""
        for name, command in vocabulary.names.items():
            if name not in self._known:
                self._known.add(name)
                self._add(name, command)

    def add_open(self, open_recording: Callable[[str], None]) -> None:
        """Add ``-rrdbg-open``."""

        def work(arguments: str) -> dict[str, Any]:
            open_recording(arguments)
            return {"position": _position(self._client.channel.place)}

        MiCommand("open", work)

    def _add(self, name: str, command: Declared) -> None:
        def work(arguments: str) -> dict[str, Any]:
            results: list[Json] = []
            line = f"{command.name} {translate(command, arguments)}".strip()
            answer = self._client.run(line, Watcher(results.append))
            return {
                "position": _position(answer.place),
                "changed": int(answer.changed),
                "results": [_plain(result) for result in results],
            }

        MiCommand(name, work)

    def _notify(self) -> None:
        if hasattr(gdb, "notify_mi"):
            gdb.notify_mi("rrdbg-moved", {"position": _position(self._client.channel.place)})


def _position(place: Place) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(place).items()}


def _plain(value: Any) -> Any:
    """``value`` as MI can carry it: what is not there is left out, and names are made of letters, digits, _ and -."""
    match value:
        case dict():
            return {_name(key): _plain(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_plain(item) for item in value]
        case bool():
            return int(value)
        case float():
            return f"{value:.6g}"
        case None:
            return ""
        case _:
            return value


def _name(key: str) -> str:
    name = _NOT_IN_NAMES.sub("_", key)
    return name if name[:1].isalpha() else f"n{name}"
