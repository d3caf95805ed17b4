"""``manifest.json``: what a recording is, written once when the recording ends and never changed."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.model.document import LARGEST, TEXT, Document, DocumentError
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import FIRST_FD, LAST_FD, Addition, BundledFile, Invocation
from rrdbg.model.machine.options import Option
from rrdbg.store.files import write_atomically
from rrdbg.store.opening import read_regular

SCHEMA = 1
"""The manifest's version; a reader refuses a larger one."""

_MOST_BYTES = 4 << 20
_WORD = 256
_LONG = 1 << 18
"""Characters in a word of a command line; Linux takes 128 KiB in one."""

_LONGEST = 1e9
"""Seconds that a recording may have taken: 30 years."""

_MOST_SLASHES = 4000


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything needed to replay, and what was known when the recording ended.

    ``icount`` is the length in instructions, ``end`` the last position that a replay can reach; ``seconds`` are those
    that the recording took, ``cpu_seconds`` what QEMU used of a processor meanwhile (0: not known);
    ``begins_in`` tells in which other recording this one begins, and where, if it does;
    ``checksums`` are BLAKE2b-256 of files in the recording, by relative path.
    """

    created: str
    rrdbg_version: str
    qemu_path: str
    qemu_version: str
    command: tuple[str, ...]
    invocation: Invocation
    initial_tag: str
    icount: int
    end: int
    ended: str
    seconds: float
    checksums: Mapping[str, str]
    cpu_seconds: float = 0.0
    begins_in: str = ""

    def write(self, path: Path) -> None:
        """Write as JSON, all or nothing.

        :raises OSError: the disk is full, or the directory not writable.
        """
        write_atomically(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """As JSON."""
        content = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return (json.dumps(content, indent=2) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read it back.

        :raises RecordingError: it is missing, damaged, or of a newer schema.
        """
        try:
            content = Document.parse(read_regular(path, _MOST_BYTES))
        except FileNotFoundError:
            raise RecordingError(
                f"{path.parent} is not a recording: it has no {path.name}. 'rrdbg ls' lists the recordings."
            ) from None
        except OSError as error:
            raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None
        except DocumentError as error:
            raise _damaged(path, error) from None
        try:
            schema = content["schema"].integer(-LARGEST)
            if schema > SCHEMA:
                raise RecordingError(
                    f"{path.parent} was made by a newer rrdbg (schema {schema}; this one reads up to {SCHEMA}). "
                    "Update rrdbg to open it."
                )
            if schema != SCHEMA:
                raise RecordingError(f"{path} is not a recording's manifest: its schema is {schema}.")
        except DocumentError as error:
            raise RecordingError(f"{path} is not a recording's manifest: {error}.") from None
        try:
            return _manifest(content)
        except DocumentError as error:
            raise _damaged(path, error) from None


def _damaged(path: Path, error: DocumentError) -> RecordingError:
    return RecordingError(f"{path} is damaged: {error}. Get the recording again, or record the guest again.")


def _manifest(content: Document) -> Manifest:
    icount = content["icount"].integer()
    cpu_seconds = content.get("cpu_seconds")
    return Manifest(
        created=_date(content["created"]),
        rrdbg_version=content["rrdbg_version"].text(_WORD),
        qemu_path=content["qemu_path"].text(),
        qemu_version=_version(content["qemu_version"]),
        command=_texts(content["command"]),
        invocation=_invocation(content["invocation"]),
        initial_tag=content["initial_tag"].text(_WORD),
        icount=icount,
        end=content["end"].integer(0, icount),
        ended=content["ended"].text(),
        seconds=content["seconds"].number(0, _LONGEST),
        checksums={name: value.text(_WORD) for name, value in content["checksums"].items()},
        cpu_seconds=cpu_seconds.number(0, _LONGEST) if cpu_seconds else 0.0,
        begins_in=_text(content, "begins_in") or "",
    )


def _invocation(content: Document) -> Invocation:
    sleeps = content.get("sleeps")
    return Invocation(
        binary=content["binary"].text(),
        options=_options(content["options"]),
        host_options=_options(content["host_options"]),
        chardevs=_texts(content["chardevs"]),
        bundled=tuple(_bundled(item) for item in content["bundled"].values()),
        disks=tuple(_disk(item) for item in content["disks"].values()),
        additions=tuple(
            Addition(_texts(item["words"]), item["reason"].text()) for item in content["additions"].values()
        ),
        shift=content["shift"].text(_WORD),
        sleeps=sleeps.flag() if sleeps else True,
    )


def _options(content: Document) -> tuple[Option, ...]:
    return tuple(Option(item["name"].text(), _text(item, "value", _LONG)) for item in content.values())


def _bundled(item: Document) -> BundledFile:
    fd, slashes, inside = item.get("fd"), item.get("slashes"), item.get("inside")
    return BundledFile(
        item["option"].text(_WORD),
        item["source"].text(),
        fd.integer(FIRST_FD, LAST_FD) if fd else None,
        slashes.integer(0, _MOST_SLASHES) if slashes else 0,
        inside.flag() if inside else False,
    )


def _disk(item: Document) -> Disk:
    waits, in_place = item.get("waits"), item.get("in_place")
    return Disk(
        item["source"].text(),
        _text(item, "format"),
        item["read_only"].flag(),
        {key: value.text() for key, value in item["frontend"].items()},
        node=_text(item, "node"),
        waits=waits.flag() if waits else False,
        in_place=in_place.flag() if in_place else False,
        backing=_text(item, "backing"),
        backing_format=_text(item, "backing_format"),
    )


def _text(item: Document, key: str, longest: int = TEXT) -> str | None:
    value = item.get(key)
    return value.text(longest) if value else None


def _texts(content: Document) -> tuple[str, ...]:
    return tuple(item.text(_LONG) for item in content.values())


def _date(content: Document) -> str:
    text = content.text(_WORD)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise DocumentError(f"{content.place} is {text!r}, not a date") from None
    return text


def _version(content: Document) -> str:
    text = content.text(_WORD)
    if not re.match(r"\d{1,4}\.\d{1,4}", text, re.ASCII):
        raise DocumentError(f"{content.place} is {text!r}, not a version of QEMU")
    return text
