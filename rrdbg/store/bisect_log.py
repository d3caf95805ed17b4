"""The log of a bisect: a head that says what is asked, and then a line of JSON for each probe, written at once.

A bisect that was broken off goes on from its log, and one that has ended can be looked at, or done again elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rrdbg.errors import RecordingError, UsageError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.hits.bisection import Probe, Verdict
from rrdbg.model.timeline.position import Position
from rrdbg.store.opening import read_regular

VERSION = 1

_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """What a bisect asks: ``words`` of a predicate of some ``kind``, of which recording, between which positions.

    ``identity`` is the checksum of the recording's log, wherever the recording lies now; ``task`` the one that it is
    asked of alone, if that is not empty.
    """

    recording: str
    identity: str
    kind: str
    words: tuple[str, ...]
    good: Position
    bad: Position
    task: str = ""


class BisectLog:
    """A log that is being written; use it in a ``with``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @property
    def name(self) -> str:
        """Its path."""
        return self._file.name

    @classmethod
    def create(cls, path: Path, head: Head) -> BisectLog:
        """A new log.

        :raises UsageError: the file exists already, or cannot be made.
        """
        try:
            log = cls(path.open("xb"))
        except FileExistsError:
            raise UsageError(f"{path} exists already; go on with --resume {path}, or name another --log.") from None
        except OSError as error:
            raise UsageError(f"Cannot write the log {path}: {error.strerror}.") from None
        log._write(
            {
                "rrdbg-bisect": VERSION, "recording": head.recording, "identity": head.identity, "kind": head.kind,
                "words": list(head.words), "good": _pair(head.good), "bad": _pair(head.bad),
                **({"task": head.task} if head.task else {}),
            }
        )  # fmt: skip
        return log

    @classmethod
    def resume(cls, path: Path) -> BisectLog:
        """The log at ``path``, to be written on behind its last whole line.

        :raises UsageError: it cannot be written.
        """
        try:
            file = path.open("r+b")
        except OSError as error:
            raise UsageError(f"Cannot write the log {path}: {error.strerror}.") from None
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, 2)
        return cls(file)

    def __enter__(self) -> BisectLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, probe: Probe) -> None:
        """Write a probe down."""
        self._write(
            {
                "position": _pair(probe.position), "verdict": probe.verdict.value, "value": probe.value,
                "seconds": round(probe.seconds, 3),
            }
        )  # fmt: skip

    def _write(self, content: dict[str, object]) -> None:
        self._file.write(json.dumps(content).encode() + b"\n")
        self._file.flush()


def read_bisect_log(path: Path) -> tuple[Head, Sequence[Probe]]:
    """What a log says; a last line that was not written whole is left out.

    :raises RecordingError: it cannot be read, or is no such log.
    """
    try:
        lines = read_regular(path.resolve(), _MOST_BYTES).split(b"\n")[:-1]
    except OSError as error:
        raise RecordingError(f"Cannot read the log {path}: {error.strerror}.") from None
    try:
        if not lines:
            raise DocumentError("it is empty")
        head, *probes = map(Document.parse, lines)
        if head["rrdbg-bisect"].integer() != VERSION:
            raise RecordingError(f"{path} is the log of a newer rrdbg; use that one.")
        return _head(head), [_probe(entry) for entry in probes]
    except DocumentError:
        raise RecordingError(f"{path} is not a log of 'rrdbg bisect', or is damaged.") from None


def _head(content: Document) -> Head:
    return Head(
        content["recording"].text(), content["identity"].text(), content["kind"].text(),
        tuple(word.text() for word in content["words"].values()), _position(content["good"]),
        _position(content["bad"]), task.text() if (task := content.get("task")) else "",
    )  # fmt: skip


def _probe(content: Document) -> Probe:
    try:
        verdict = Verdict(content["verdict"].text())
    except ValueError as error:
        raise DocumentError(str(error)) from None
    return Probe(_position(content["position"]), verdict, content["value"].text(), content["seconds"].number())


def _position(content: Document) -> Position:
    icount, phase = content.values(2, 2)
    return Position(icount.integer(), phase.integer())


def _pair(position: Position) -> list[int]:
    return [position.icount, position.phase]
