"""``linux.json`` and ``kernel.elf``: what was found out about a guest's kernel, so that it is looked for once.

Losing them costs time only. What others have found is left out of account, as in :mod:`rrdbg.store.hits_file`: names
at wrong places would be answers that nobody here can vouch for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from rrdbg.errors import RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.linux.kernel import LONGEST_BANNER, Kernel
from rrdbg.model.timeline.position import Position
from rrdbg.store.files import write_atomically
from rrdbg.store.opening import read_regular
from rrdbg.store.recording import Recording

SCHEMA = 2
"""To be raised also when something else than before is found in the same recording."""

_MOST_BYTES = 1 << 20
_MOST_NAMES = 1000
_MOST = (1 << 64) - 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known: the ``kernel``, or that there is none."""

    kernel: Kernel | None


def load_kernel(recording: Recording) -> Kept | None:
    """What an earlier session has found in ``recording``, here; None if none has looked."""
    try:
        data = read_regular(recording.layout.linux, _MOST_BYTES)
        if not recording.believes(data):
            return None
        content = Document.parse(data)
        if content["schema"].integer() != SCHEMA:
            return None
        kernel = content.get("kernel")
        if kernel is None:
            return Kept(None)
        if not recording.has_made(recording.layout.relative(recording.layout.kernel_symbols)):
            return None
        return Kept(_kernel(kernel))
    except FileNotFoundError:
        return None
    except (OSError, RecordingError, DocumentError) as error:
        _log.warning("%s is damaged (%s), and is not used.", recording.layout.linux, error)
        return None


def save_kernel(recording: Recording, kernel: Kernel | None, symbols: bytes | None) -> None:
    """Keep ``kernel`` and the ELF file of its ``symbols``, if that is new, with the recording, unless it is
    read-only, or another session keeps that.

    :raises OSError: the disk is full.
    """
    if not recording.first:
        return
    layout = recording.layout
    if symbols is not None:
        write_atomically(layout.kernel_symbols, symbols)
    content = json.dumps({"schema": SCHEMA, "kernel": _fields(kernel) if kernel else None})
    write_atomically(layout.linux, recording.marked(content.removesuffix("}").encode()))
    if symbols is not None:
        recording.note(layout.kernel_symbols)


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
