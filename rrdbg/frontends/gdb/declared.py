"""The registry's commands as the extension knows them, and what each is called in GDB.

The file commands.json, made from the registry by scripts/reference.py, has them before there is a server to ask.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VERSION = 1
_FILE = Path(__file__).parent / "commands.json"
_WIDTH = 79
_REDIRECTED = (">", "|")
"""What only the shell of rrdbg does with answers."""
_GDBS_OWN = ("help", "quit")
"""They are about the front end, which here is GDB."""
_BESIDE_GDBS = ("stepi", "reverse-stepi", "watch", "finish")
"""GDB has them, too: but it asks for many steps one by one, has no word for physical memory, and knows no frames of
16-bit code."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One command; the fields are those of :class:`rrdbg.commands.registry.Command`."""

    name: str
    category: str
    arguments: str
    summary: str
    details: str
    examples: tuple[str, ...]
    aliases: tuple[str, ...]
    repeats: bool
    takes: tuple[str, ...]
    words: tuple[str, ...]
    in_gdb: bool

    @property
    def first(self) -> str:
        """The first word of its name."""
        return self.name.partition(" ")[0]

    @property
    def second(self) -> str:
        """The second word of its name, if it has one."""
        return self.name.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All commands that rrdbg adds to GDB, and the kinds of events."""

    commands: tuple[Declared, ...]
    event_kinds: tuple[str, ...]

    @classmethod
    def shipped(cls) -> Vocabulary:
        """The vocabulary of the rrdbg that this file belongs to."""
        return cls.read(json.loads(_FILE.read_text()))

    @classmethod
    def read(cls, content: dict[str, Any]) -> Vocabulary:
        """The vocabulary that a server declares; empty if it is of a form that is not known here."""
        if content.get("version") != _VERSION:
            return cls((), ())
        commands = tuple(_declared(item) for item in content["commands"])
        ours = (command for command in commands if not command.in_gdb or command.name in _BESIDE_GDBS)
        return cls(tuple(c for c in ours if c.name not in _GDBS_OWN), tuple(content["event_kinds"]))

    @property
    def names(self) -> dict[str, Declared]:
        """What comes after ``rrdbg`` in GDB, and the command it is.

        A name of two words keeps both; where the first is a command, too, that one reads the second as its argument.
        The subject of an ``info`` command is enough, if no other command is called so: ``rrdbg snapshots``.
        """
        firsts = {command.first for command in self.commands}
        singles = {command.name for command in self.commands if not command.second}
        found = {command.name: command for command in self.commands if not command.second}
        for command in self.commands:
            if command.second and command.first not in singles:
                found[command.name] = command
                if command.first == "info" and command.second not in firsts:
                    found[command.second] = command
        return found

    def variants(self, command: Declared) -> tuple[Declared, ...]:
        """The commands of two words that ``command``, of one, reads: ``seek console`` for ``seek``."""
        if command.second:
            return ()
        return tuple(other for other in self.commands if other.second and other.first == command.name)


def help_text(name: str, command: Declared, variants: Iterable[Declared] = ()) -> str:
    """What ``help rrdbg NAME`` shows."""
    lines = [command.summary, f"Usage: {f'rrdbg {name} {command.arguments}'.rstrip()}"]
    if command.details:
        lines += ["", *textwrap.wrap(command.details, _WIDTH)]
    for variant in variants:
        lines += ["", f"rrdbg {variant.name} {variant.arguments}".rstrip(), variant.summary]
        lines += textwrap.wrap(variant.details, _WIDTH)
    examples = [_example(command.first, example) for one in (command, *variants) for example in one.examples]
    if examples:
        lines += ["", "Examples:", *(f"  {example}" for example in examples if not example.startswith(_REDIRECTED))]
    return "\n".join(lines)


def _example(first: str, text: str) -> str:
    """``text`` as it is written in GDB; what does not begin with the command's own name is GDB's, or shows the use."""
    if text.partition(" ")[0] in (first, "seek"):
        return f"rrdbg {text}"
    return text


def _declared(item: dict[str, Any]) -> Declared:
    lists = {key: tuple(value) for key, value in item.items() if isinstance(value, list)}
    return Declared(**{**item, **lists})
