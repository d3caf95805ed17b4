"""Which RAM a machine has, as QEMU tells once it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rrdbg.links.qmp import QmpLink
from rrdbg.model.machine.ram import PAGE, RamBlock

_BLOCK = re.compile(r"^ *(\S+) +4 KiB +0x[0-9a-f]+ +0x([0-9a-f]+)", re.MULTILINE)


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
