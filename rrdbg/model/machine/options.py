"""QEMU's command line as a list of options, and key=value lists inside them.

QEMU's options take one argument or none; which is which is not written in them, so the ones without are
listed here (``qemu-system-x86_64 -help`` of 7.2, 10.0 and 11.1).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rrdbg.errors import UsageError

_WITHOUT_ARGUMENT = frozenset(
    (
        *("h", "help", "version", "daemonize", "nographic", "snapshot", "enable-kvm", "no-reboot", "no-shutdown"),
        *("S", "s", "no-acpi", "no-hpet", "no-fd-bootchk", "full-screen", "no-quit", "win2k-hack", "usb"),
        *("nodefaults", "no-user-config", "singlestep", "only-migratable", "portrait", "alt-grab", "ctrl-grab"),
        *("old-param", "semihosting", "preconfig", "mem-prealloc", "xen-attach", "xen-domid-restrict", "curses"),
        *("enable-sync-profile", "show-cursor", "sdl"),
    )
)


@dataclass(frozen=True, slots=True)
class Option:
    """One option, its name without dashes; a bare file name is the option ``hda``, as QEMU reads it."""

    name: str
    value: str | None = None

    def words(self) -> tuple[str, ...]:
        """The option as words of a command line."""
        return (f"-{self.name}",) if self.value is None else (f"-{self.name}", self.value)


def parse_options(words: Sequence[str]) -> tuple[Option, ...]:
    """Split the words after the program's name into options.

    :raises UsageError: the last option lacks its argument.
    """
    options = []
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            options.append(Option("hda", word))
            continue
        name = word.lstrip("-")
        if name in _WITHOUT_ARGUMENT:
            options.append(Option(name))
            continue
        value = next(left, None)
        if value is None:
            raise UsageError(f"QEMU's option {word} needs an argument, and the command line ends after it.")
        options.append(Option(name, value))
    return tuple(options)


def words_of(options: Iterable[Option]) -> tuple[str, ...]:
    """The options as words of a command line."""
    return tuple(word for option in options for word in option.words())


def parse_properties(value: str, implied: str = "") -> dict[str, str]:
    """Read ``a=1,b=2``; ``,,`` is a comma in a value, and a first item without ``=`` belongs to ``implied``.

    QEMU takes JSON for some options, too; an object inside it becomes keys with dots, as it would be written without.

    :raises UsageError: it begins as JSON does, but is none.
    """
    if value.startswith("{"):
        return _from_json(value)
    properties: dict[str, str] = {}
    for index, item in enumerate(_split(value)):
        key, equals, text = item.partition("=")
        if equals:
            properties[key] = text
        elif index == 0 and implied:
            properties[implied] = item
        elif key:
            properties[key] = "on"
    return properties


def count_items(value: str) -> int:
    """How many properties ``a=1,b=2`` tells, also if one is told twice."""
    return len(_split(value))


def format_properties(properties: dict[str, str]) -> str:
    """Write ``{"a": "1"}`` as ``a=1`` with commas in values doubled."""
    return ",".join(f"{key}={escape(text)}" for key, text in properties.items())


def escape(text: str) -> str:
    """Double the commas, as QEMU wants them inside a property's value."""
    return text.replace(",", ",,")


def _from_json(value: str) -> dict[str, str]:
    try:
        return dict(_flat("", json.loads(value)))
    except ValueError as error:
        raise UsageError(f"{value[:60]!r} is not JSON: {error}.") from None


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flat(f"{prefix}.{index}", item)
    elif value is not None:
        yield prefix, ("off", "on")[value] if isinstance(value, bool) else str(value)


def _split(value: str) -> list[str]:
    return [item.replace("\0", ",") for item in value.replace(",,", "\0").split(",") if item]
