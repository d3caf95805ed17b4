"""``manifest.json``: what a recording is, written once when the recording ends and never changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrdbg.errors import RecordingError
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import Addition, BundledFile, Invocation
from rrdbg.model.machine.options import Option
from rrdbg.store.files import write_atomically

SCHEMA = 1
"""The manifest's version; a reader refuses a larger one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything needed to replay, and what was known when the recording ended.

    ``icount`` is the length in instructions, ``end`` the last position that a replay can reach; ``seconds`` are those
    that the recording took, ``cpu_seconds`` what QEMU used of a processor meanwhile (0: not known);
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

    def write(self, path: Path) -> None:
        """Write as JSON, all or nothing.

        :raises OSError: the disk is full, or the directory not writable.
        """
        content = {"schema": SCHEMA, **dataclasses.asdict(self)}
        write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read it back.

        :raises RecordingError: it is missing, damaged, or of a newer schema.
        """
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise RecordingError(
                f"{path.parent} is not a recording: it has no {path.name}. 'rrdbg ls' lists the recordings."
            ) from None
        except OSError as error:
            raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None
        except ValueError as error:
            raise RecordingError(f"{path} is damaged: it is not JSON ({error}). Record the guest again.") from None
        schema = content.get("schema") if isinstance(content, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise RecordingError(
                f"{path.parent} was made by a newer rrdbg (schema {schema}; this one reads up to {SCHEMA}). "
                "Update rrdbg to open it."
            )
        if schema != SCHEMA:
            raise RecordingError(f"{path} is not a recording's manifest: its schema is {schema!r}.")
        try:
            return _manifest(content)
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{path} is damaged: {error!r} is missing or wrong. Record the guest again.") from None


def _manifest(content: dict[str, Any]) -> Manifest:
    return Manifest(
        created=str(content["created"]),
        rrdbg_version=str(content["rrdbg_version"]),
        qemu_path=str(content["qemu_path"]),
        qemu_version=str(content["qemu_version"]),
        command=tuple(content["command"]),
        invocation=_invocation(content["invocation"]),
        initial_tag=str(content["initial_tag"]),
        icount=int(content["icount"]),
        end=int(content["end"]),
        ended=str(content["ended"]),
        seconds=float(content["seconds"]),
        checksums={str(name): str(value) for name, value in content["checksums"].items()},
        cpu_seconds=float(content.get("cpu_seconds", 0.0)),
    )


def _invocation(content: dict[str, Any]) -> Invocation:
    return Invocation(
        binary=str(content["binary"]),
        options=tuple(Option(**item) for item in content["options"]),
        host_options=tuple(Option(**item) for item in content["host_options"]),
        chardevs=tuple(content["chardevs"]),
        bundled=tuple(BundledFile(**item) for item in content["bundled"]),
        disks=tuple(Disk(**item) for item in content["disks"]),
        additions=tuple(Addition(tuple(item["words"]), item["reason"]) for item in content["additions"]),
        shift=str(content["shift"]),
    )
