"""The drives of a command line that somebody wrote for record and replay.

QEMU wants each drive of the guest behind a block node with the driver ``blkreplay``, since only then the log holds
when the drive answered. There are several ways to write that: as two ``-drive``, as two or three ``-blockdev``, or as
one ``-drive`` with ``image.`` before the properties of what lies below. They are read into one form here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from rrdbg.errors import UsageError
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.options import Option, format_properties, parse_properties

_BLKREPLAY = "blkreplay"
_PROTOCOLS = frozenset({"file", "host_device", "host_cdrom"})
_FILE_OPTIONS = frozenset({"hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash"})
_FILE_PROPERTIES = ("file", "filename", "file.filename")
_REMEDY = "so the log does not tell when it answered. Record again with 'rrdbg record', which inserts blkreplay"


@dataclass(frozen=True, slots=True)
class HandMadeDrive:
    """A drive behind ``blkreplay``; ``untouched`` if the recording wrote nothing to its image."""

    disk: Disk
    untouched: bool


@dataclass(frozen=True, slots=True)
class _Node:
    """A block node as an option describes it, nested properties as ``file.filename``."""

    option: Option
    name: str
    properties: Mapping[str, str]

    def has(self, *names: str) -> bool:
        """Whether one of the switches ``names`` is on."""
        return any(self.properties.get(name) in ("on", "true") for name in names)

    @property
    def read_only(self) -> bool:
        """Whether the guest cannot write to it."""
        return self.has("readonly", "read-only") or self.properties.get("media") == "cdrom"


def read_drives(options: Sequence[Option], directory: PurePath) -> tuple[tuple[HandMadeDrive, ...], tuple[Option, ...]]:
    """The guest's drives, in order, and the options of read-only nodes that serve for something else, such as firmware.

    Images that no device uses are left out: they only held the machine's state. Files are relative to ``directory``.

    :raises UsageError: a drive is not behind ``blkreplay``, or its image cannot be told.
    """
    nodes = {node.name: node for node in _nodes(options)}
    _refuse_bare_files(options)
    drives, inner = [], set()
    for node in nodes.values():
        if node.properties.get("driver") == _BLKREPLAY:
            below = _below(node, nodes)
            inner |= {below.name, below.properties.get("file", "")}
            drives.append(_drive(node, below, nodes, directory))
    used = {text for option in options if option.name == "device" for text in _references(option)}
    kept = []
    for node in nodes.values():
        if node.name in inner or node.properties.get("driver") == _BLKREPLAY:
            continue
        interface = node.properties.get("if", "ide" if node.option.name == "drive" else "none")
        if interface not in ("none", "pflash") or node.name in used or (interface == "pflash" and not node.read_only):
            raise UsageError(f"The drive -{node.option.name} {node.option.value} is not behind blkreplay, {_REMEDY}.")
        if node.read_only:
            kept.append(_located(node.option, directory))
    return tuple(drives), tuple(kept)


def _refuse_bare_files(options: Sequence[Option]) -> None:
    for option in options:
        if option.name in _FILE_OPTIONS:
            raise UsageError(f"The drive -{option.name} {option.value} is not behind blkreplay, {_REMEDY}.")


def _nodes(options: Sequence[Option]) -> Iterator[_Node]:
    for number, option in enumerate(options):
        if option.name in ("drive", "blockdev"):
            properties = read_properties(option.value or "", "file" if option.name == "drive" else "driver")
            name = properties.get("id") or properties.get("node-name") or f"#{number}"
            yield _Node(option, name, properties)


def read_properties(value: str, implied: str = "") -> dict[str, str]:
    """The properties of an option that may be written as JSON, nested ones as ``file.filename``.

    :raises UsageError: it begins like JSON, and is none.
    """
    if not value.startswith("{"):
        return parse_properties(value, implied)
    try:
        return dict(_flat(json.loads(value)))
    except ValueError as error:
        raise UsageError(f"'{value}' is not JSON: {error}.") from None


def _flat(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, item in content.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(item).lower() if isinstance(item, bool) else str(item)


def _references(option: Option) -> Iterator[str]:
    drive = read_properties(option.value or "", "driver").get("drive")
    if drive is not None:
        yield drive


def _below(node: _Node, nodes: Mapping[str, _Node]) -> _Node:
    """What ``blkreplay`` reads from: a node of its own, or the properties after ``image.``."""
    name = node.properties.get("image")
    if name is None:
        nested = {key.removeprefix("image."): text for key, text in node.properties.items() if key.startswith("image.")}
        return _Node(node.option, f"{node.name}.image", nested)
    if name not in nodes:
        raise UsageError(f"-{node.option.name} {node.option.value} names the image '{name}', and there is no such one.")
    return nodes[name]


def _drive(node: _Node, below: _Node, nodes: Mapping[str, _Node], directory: PurePath) -> HandMadeDrive:
    read_only = node.read_only or below.read_only
    if node.option.name == "drive":
        frontend = {
            key: text
            for key, text in node.properties.items()
            if key.partition(".")[0] not in ("driver", "image", "file", "readonly", "read-only")
        }
    else:
        frontend = {"if": "none", "id": node.name}
    driver = below.properties.get("format", below.properties.get("driver"))
    source = str(directory / _filename(below, nodes))
    disk = Disk(source, "raw" if driver in _PROTOCOLS else driver, read_only, frontend)
    return HandMadeDrive(disk, untouched=read_only or below.has("snapshot"))


def _filename(node: _Node, nodes: Mapping[str, _Node]) -> str:
    file = next((node.properties[key] for key in _FILE_PROPERTIES if key in node.properties), None)
    if file is not None and file in nodes:
        file = nodes[file].properties.get("filename")
    if not file or file.startswith("json:"):
        raise UsageError(
            f"It cannot be told which file -{node.option.name} {node.option.value} means; write file=FILE."
        )
    return file.removeprefix("file:")


def _located(option: Option, directory: PurePath) -> Option:
    """``option`` with its file told from the root; one in JSON stays as it is."""
    value = option.value or ""
    if value.startswith("{"):
        return option
    properties = parse_properties(value, "file" if option.name == "drive" else "driver")
    files = {key: str(directory / text) for key, text in properties.items() if key in _FILE_PROPERTIES}
    return Option(option.name, format_properties(properties | files))
