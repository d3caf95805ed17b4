"""Which RAM a machine has, as QEMU tells once it runs; kept with the recording, so that it is asked once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rrdbg.links.qmp import QmpLink
from rrdbg.model.machine.ram import PAGE, RamBlock
from rrdbg.store.files import write_atomically
from rrdbg.store.recording import Layout, Recording

_BLOCK = re.compile(r"^ *(\S+) +4 KiB +0x[0-9a-f]+ +0x([0-9a-f]+)", re.MULTILINE)
_MOST_BYTES = 1 << 46


async def find_block(qmp: QmpLink) -> RamBlock | None:
    """The RAM of the machine that runs in the QEMU at ``qmp``; None where it has another than its type's own.

    :raises QmpError: QEMU does not tell.
    """
    kind = str(await qmp.execute("qom-get", path="/machine", property="type")).removesuffix("-machine")
    machines = await qmp.execute("query-machines")
    assert isinstance(machines, list)
    name = next((known.get("default-ram-id") for known in machines if known["name"] == kind), None)
    summary = await qmp.execute("query-memory-size-summary")
    assert isinstance(summary, Mapping)
    size = int(str(summary["base-memory"]))
    blocks = {found[1]: int(found[2], 16) for found in _BLOCK.finditer(await qmp.monitor("info ramblock"))}
    return RamBlock(str(name), size) if name and blocks.get(name) == size and size % PAGE == 0 else None


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
    """Keep it with the recording, if that can be written."""
    if recording.writable:
        content = json.dumps({"id": block.id, "size": block.size})
        recording.layout.ram.mkdir(exist_ok=True)
        write_atomically(recording.layout.ram / "block.json", content.encode())
