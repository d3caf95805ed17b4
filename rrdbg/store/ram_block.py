"""``ram/block.json``: which RAM a recording's machine has, so that QEMU is asked once."""

from __future__ import annotations

import json
import re

from rrdbg.errors import RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.machine.ram import PAGE, RamBlock
from rrdbg.store.files import write_atomically
from rrdbg.store.layout import Layout
from rrdbg.store.opening import read_inside
from rrdbg.store.recording import Recording

_MOST_BYTES = 1 << 46


def known_block(layout: Layout) -> RamBlock | None:
    """What was found out earlier; None if that was not, or is not kept."""
    try:
        content = Document.parse(read_inside(layout.root, "ram/block.json", 4096))
        block = RamBlock(content["id"].text(128), content["size"].integer(1, _MOST_BYTES))
    except (OSError, RecordingError, DocumentError):
        return None
    sane = re.fullmatch(r"[\w.-]+", block.id, re.ASCII) and block.size % PAGE == 0
    return block if sane else None


def note_block(recording: Recording, block: RamBlock) -> None:
    """Keep it with the recording, if that can be written.

    :raises OSError: the disk is full.
    """
    if recording.writable:
        recording.layout.ram.mkdir(exist_ok=True)
        write_atomically(recording.layout.ram / "block.json", json.dumps({"id": block.id, "size": block.size}).encode())
