"""``ram/block.json``: which RAM a recording's machine has, so that QEMU is asked once."""

from __future__ import annotations

import json
import re

from rrdbg.model.machine.ram import PAGE, RamBlock
from rrdbg.store.files import write_atomically
from rrdbg.store.recording import Layout, Recording

_MOST_BYTES = 1 << 46


def known_block(layout: Layout) -> RamBlock | None:
    """What was found out earlier; None if that was not, or is not kept."""
    try:
        content = json.loads((layout.ram / "block.json").read_bytes())
        block = RamBlock(str(content["id"]), int(content["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sane = re.fullmatch(r"[\w.-]+", block.id, re.ASCII) and 0 < block.size <= _MOST_BYTES and block.size % PAGE == 0
    return block if sane else None


def note_block(recording: Recording, block: RamBlock) -> None:
    """Keep it with the recording, if that can be written.

    :raises OSError: the disk is full.
    """
    if recording.writable:
        recording.layout.ram.mkdir(exist_ok=True)
        write_atomically(recording.layout.ram / "block.json", json.dumps({"id": block.id, "size": block.size}).encode())
