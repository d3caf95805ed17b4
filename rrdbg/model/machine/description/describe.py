"""Make a command line that somebody else has written anew, from what could be understood of it.

The options that go to QEMU are written here, from the description, each in a form that QEMU reads in one way only.
They describe the machine that was recorded: nothing is added but ``restrict=on`` to a network, which no replay notices.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rrdbg.errors import RecordingError, UsageError
from rrdbg.model.machine.description.catalogue import OPTIONS, read_global
from rrdbg.model.machine.description.listing import Unreadable, write_list
from rrdbg.model.machine.description.values import NAME, Kind
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import FIRST_FD, LAST_FD, READERS, Addition, BundledFile, Invocation
from rrdbg.model.machine.options import Option, parse_options
from rrdbg.model.shown import shown

_PROGRAM = re.compile(r"qemu-system-[a-z0-9_]+", re.ASCII)
_SHIFT = re.compile(r"\d|10|auto", re.ASCII)
_INSIDE = re.compile(r"files/[\w-]+", re.ASCII)
_BUNDLED = frozenset({"kernel", "initrd", "dtb", "bios"})
_FORMATS = frozenset({"raw", "qcow2"})
"""Image formats whose headers :mod:`rrdbg.store.images` can look into for names of other files."""

_FRONTEND = frozenset(
    {
        *("if", "index", "media", "id", "bus", "unit", "serial", "werror", "rerror", "cyls", "heads", "secs", "trans"),
        "addr",
    }
)
_OWN_ID = re.compile(r"rrdbg-(nic|net)\d{1,4}", re.ASCII)
_CONSOLE = "rrdbg-console"
_MOST_SLASHES = 4000
_MOST = 512
"""How many options, files or disks a machine may have."""


def describe(invocation: Invocation, *, own: bool = False) -> Invocation:
    """``invocation``, which somebody else has written, written anew; the disks of the user's ``own`` lie anywhere.

    :raises RecordingError: it asks for more than a machine, or that cannot be told; the message says for what.
    """
    return _Description(invocation, own=own).written()


@dataclass(frozen=True, slots=True)
class _Part:
    """An option, what is in it, and what QEMU is to be told."""

    name: str
    properties: tuple[tuple[str, str, Kind], ...]
    option: Option

    def get(self, key: str) -> str | None:
        return next((text for name, text, _ in self.properties if name == key), None)


class _Description:
    """What was understood of an invocation; lives for one call of :func:`describe`."""

    def __init__(self, invocation: Invocation, *, own: bool) -> None:
        self._invocation = invocation
        if not _PROGRAM.fullmatch(invocation.binary):
            raise refusal(f"it would run the program {invocation.binary!r}, which is no qemu-system-ARCHITECTURE")
        if not _SHIFT.fullmatch(invocation.shift):
            raise refusal(f"its shift is {invocation.shift!r}")
        if max(map(len, (invocation.options, invocation.additions, invocation.bundled, invocation.disks))) > _MOST:
            raise refusal(f"it has more than {_MOST} options, files or disks")
        for name in invocation.chardevs:
            _check_id("a chardev", name)
        _check_files(invocation.bundled)
        self._disks = [disk if own else _disk(index, disk) for index, disk in enumerate(invocation.disks)]
        self._options = [_part(option) for option in invocation.options]
        self._additions = [(addition.reason, list(_added(addition))) for addition in invocation.additions]
        self._check_names()

    def written(self) -> Invocation:
        """The invocation that QEMU is started with."""
        return replace(
            self._invocation,
            options=tuple(part.option for part in self._options),
            host_options=(),
            disks=tuple(self._disks),
            additions=tuple(
                Addition(tuple(word for part in parts for word in part.option.words()), shown(reason))
                for reason, parts in self._additions
            ),
        )

    def _parts(self) -> list[_Part]:
        return [*self._options, *(part for _, parts in self._additions for part in parts)]

    def _check_names(self) -> None:
        """Look whether all that is named is there, and nothing of ours."""
        parts = self._parts()
        ids: dict[str, set[str]] = {}
        for part in parts:
            if name := part.get("id"):
                _check_id(f"-{part.name}", name)
                ids.setdefault(part.name, set()).add(name)
        drives = {disk.frontend.get("id") or disk.node for disk in self._disks} | ids.get("drive", set())
        there: dict[str, set[str | None]] = {
            "chardev": {*self._invocation.chardevs, _CONSOLE},
            "drive": drives,
            "netdev": {*ids.get("netdev", ()), *ids.get("nic", ())},
            "object": {*ids.get("object", ())},
            "file": {file.opened_as for file in self._invocation.bundled if file.inside},
        }
        there["port"] = {"none", "null", "vc", *(f"chardev:{name}" for name in there["chardev"])}
        named: Counter[str] = Counter()
        for part in parts:
            for key, text, kind in part.properties:
                if kind.refers and text not in there[kind.refers]:
                    raise refusal(f"'-{part.name}' has {key or 'a value'} {text!r}, which it does not have")
                if kind.refers == "file":
                    named[text] += 1
        for file in self._invocation.bundled:
            if file.inside and named[str(file.opened_as)] != 1:
                raise refusal(f"its file {file.name} is named by {named[str(file.opened_as)]} options")


def _part(option: Option) -> _Part:
    name, value = option.name, option.value
    try:
        if name == "global" and value is not None:
            driver, key, text = read_global(value)
            # The list alone is free of doubt: in the other form a driver's name may have no dot in it.
            written = write_list((("driver", driver), ("property", key), ("value", text)))
            return _Part(name, (), Option(name, written))
        if name not in OPTIONS:
            raise Unreadable("it is not among the options that can be described")
        form = OPTIONS[name]
        properties = form.read(value)
        return _Part(name, properties, Option(name, form.write(properties)))
    except Unreadable as error:
        words = f"-{name}" if value is None else f"-{name} {value[:80]}"
        raise refusal(f"it would start QEMU with '{words}': {error}") from None


def _added(addition: Addition) -> Iterator[_Part]:
    try:
        options = parse_options(addition.words)
    except UsageError as error:
        raise refusal(str(error).rstrip(".")) from None
    yield from map(_part, options)


def _check_files(files: tuple[BundledFile, ...]) -> None:
    for file in files:
        known = READERS if file.inside else _BUNDLED
        numbered = file.fd is None or (type(file.fd) is int and FIRST_FD <= file.fd <= LAST_FD)
        slashes = type(file.slashes) is int and 0 <= file.slashes <= _MOST_SLASHES
        if file.option not in known or not numbered or not slashes or (file.inside and file.fd is None):
            raise refusal(f"it would give QEMU a file as -{file.option} {file.opened_as}")
    numbers = [file.fd for file in files if file.fd is not None]
    names = [file.name for file in files]
    if len(set(numbers)) < len(numbers) or len(set(names)) < len(names):
        raise refusal("it would give QEMU two files by one number or name")


def _disk(index: int, disk: Disk) -> Disk:
    if not _INSIDE.fullmatch(disk.source):
        raise refusal(f"its disk {index} is {disk.source}, a file outside of the recording")
    if disk.backing is not None or disk.backing_format is not None:
        raise refusal(f"its disk {index} lies over {disk.backing}, a file outside of the recording")
    if disk.format not in _FORMATS:
        raise refusal(f"its disk {index} has the format {disk.format}, which may name other files")
    if disk.in_place:
        raise refusal(f"its disk {index} lies on {disk.source}, which may be outside of the recording")
    if disk.node is not None:
        _check_id(f"its disk {index}", disk.node)
    for key, text in disk.frontend.items():
        if key not in _FRONTEND or not re.fullmatch(r"[\w.-]{1,128}", text, re.ASCII):
            raise refusal(f"its disk {index} has {key}={text}")
    if name := disk.frontend.get("id"):
        _check_id(f"its disk {index}", name)
    return disk


def _check_id(whose: str, name: str) -> None:
    """Refuse an id that QEMU would not take, and those that are ours."""
    if not NAME.takes(name) or (name.startswith("rrdbg-") and not _OWN_ID.fullmatch(name)):
        raise refusal(f"{whose} is called {name!r}")


def refusal(why: str) -> RecordingError:
    """The error for a recording that asks for more than a machine: ``why`` goes on after "and"."""
    return RecordingError(f"This recording was not made here, and {why}.")
