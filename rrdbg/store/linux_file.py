"""``linux.json`` and ``kernel.elf``: what was found out about a guest's kernel, so that it is looked for once.

Losing them costs time only. What others have found is left out of account, as in :mod:`rrdbg.store.hits_file`: names
at wrong places would be answers that nobody here can vouch for. ``linux.json`` is marked, and has the other's checksum.
Where a recording is read-only both lie aside, for the session (:meth:`~rrdbg.store.recording.Recording.place_of`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.linux.kernel import LONGEST_BANNER, Kernel
from rrdbg.model.timeline.position import Position
from rrdbg.store.files import write_atomically
from rrdbg.store.opening import read_regular
from rrdbg.store.recording import Recording

SCHEMA = 4
"""To be raised also when something else than before is found in the same recording."""

_MOST_BYTES = 1 << 20
_MOST_SYMBOLS = 256 << 20
_MOST_NAMES = 1000
_MOST = (1 << 64) - 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known: the ``kernel`` and the ELF file of its ``symbols``, or that there is none."""

    kernel: Kernel | None
    symbols: Path | None = None


def load_kernel(recording: Recording) -> Kept | None:
    """What this session, or an earlier one, has found in ``recording``, here; None if none has looked."""
    path = recording.kept_at(recording.layout.linux)
    try:
        data = read_regular(path, _MOST_BYTES)
        if path == recording.layout.linux and not recording.believes(data):
            return None
        content = Document.parse(data)
        if content["schema"].integer() != SCHEMA:
            return None
        kernel = content.get("kernel")
        if kernel is None:
            return Kept(None)
        symbols = recording.kept_at(recording.layout.kernel_symbols)
        if _checksum(read_regular(symbols, _MOST_SYMBOLS)) != content["symbols"].text(64):
            return None
        return Kept(_kernel(kernel), symbols)
    except FileNotFoundError:
        return None
    except (OSError, RecordingError, DocumentError) as error:
        _log.warning("%s is damaged (%s), and is not used.", path, error)
        return None


def save_kernel(recording: Recording, kernel: Kernel | None, symbols: bytes | None) -> None:
    """Keep ``kernel`` and the ELF file of its ``symbols``, or what more was found out of the kernel that is kept.

    What other sessions have found of it since is kept, too. Where the recording is read-only it is for this session.

    :raises OSError: the disk is full.
    """
    layout = recording.layout
    with recording.turn():
        before = load_kernel(recording)
        if kernel and before and before.kernel:
            kernel = before.kernel.joined(kernel)
        if symbols is not None:
            write_atomically(recording.place_of(layout.kernel_symbols), symbols)
        elif before and before.symbols:
            symbols = read_regular(before.symbols, _MOST_SYMBOLS)
        fields = {"kernel": _fields(kernel), "symbols": _checksum(symbols or b"")} if kernel else {"kernel": None}
        content = json.dumps({"schema": SCHEMA, **fields}).encode()
        place = recording.place_of(layout.linux)
        write_atomically(place, recording.marked(content.removesuffix(b"}")) if place == layout.linux else content)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _fields(kernel: Kernel) -> Mapping[str, object]:
    return {
        "banner": kernel.banner,
        "build_id": kernel.build_id,
        "seen": [kernel.seen.icount, kernel.seen.phase],
        "addresses": dict(kernel.addresses),
        "offsets": dict(kernel.offsets),
    }


def _kernel(content: Document) -> Kernel:
    icount, phase = content["seen"].values(2, 2)
    return Kernel(
        content["banner"].text(LONGEST_BANNER),
        content["build_id"].text(64),
        Position(icount.integer(), phase.integer()),
        _numbers(content["addresses"]),
        _numbers(content["offsets"]),
    )


def _numbers(content: Document) -> dict[str, int]:
    found = {name: value.integer(0, _MOST) for name, value in content.items()}
    if len(found) > _MOST_NAMES:
        raise DocumentError(f"{content.place} has more than {_MOST_NAMES} values")
    return found
