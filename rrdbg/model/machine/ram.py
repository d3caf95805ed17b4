"""The guest's RAM, and whether it can be mapped from a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrdbg.model.machine.invocation import Invocation

PAGE = 4096

_NOT_MAPPED = (
    # QEMU gives their pages back by punching holes into the file, also where it has mapped it privately.
    (re.compile(r"balloon|free-page-reporting"), "a balloon device gives pages of RAM back"),
    (re.compile(r"virtio-mem|virtio-pmem|nvdimm|pc-dimm|ivshmem"), "it has memory of another kind"),
    (re.compile(r"memory-backend|memdev"), "its memory is described by the user's own -object"),
)
"""Devices with which RAM keeps to QEMU's own memory, and why."""

_NOT_MAPPED_OPTIONS = {
    "numa": "its memory is parted by -numa",
    "mem-path": "its memory has a file of the user's",
    "mem-prealloc": "its memory is wanted at once",
}


@dataclass(frozen=True, slots=True)
class RamBlock:
    """The machine's RAM as QEMU calls it: the id that its memory backend must have, and its size in bytes."""

    id: str
    size: int

    @property
    def pages(self) -> int:
        """How many pages it has."""
        return self.size // PAGE


def not_mapped(invocation: Invocation) -> str | None:
    """Why the RAM of this machine is not mapped from a file; None if it can be."""
    for option in invocation.options:
        if option.name in _NOT_MAPPED_OPTIONS:
            return _NOT_MAPPED_OPTIONS[option.name]
        for pattern, reason in _NOT_MAPPED:
            if option.name in ("device", "object", "machine", "M", "m") and pattern.search(option.value or ""):
                return reason
    return None
