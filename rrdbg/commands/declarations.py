"""The registry as plain data, for front ends that run where nothing of rrdbg but a file is at hand."""

from __future__ import annotations

from typing import Any

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.registry import Command
from rrdbg.model.timeline.events import EventKind

VERSION = 1
"""Of the form of this data; a reader that knows another one must not use it."""


def declarations() -> dict[str, Any]:
    """Every command of the registry, and the kinds of events, as JSON has them."""
    return {
        "version": VERSION,
        "event_kinds": [str(kind) for kind in EventKind],
        "commands": [_declaration(command) for command in COMMANDS.commands],
    }


def _declaration(command: Command) -> dict[str, Any]:
    return {
        "name": command.name,
        "category": str(command.category),
        "arguments": command.arguments,
        "summary": command.summary,
        "details": command.details,
        "examples": list(command.examples),
        "aliases": list(command.aliases),
        "repeats": command.repeats,
        "takes": [str(kind) for kind in command.takes],
        "words": list(command.words),
        "in_gdb": command.in_gdb,
    }
