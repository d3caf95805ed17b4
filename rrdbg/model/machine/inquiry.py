"""Which commands of QEMU's human monitor only look at the machine.

All others are refused: one that changes the guest, a device, a disk or a file of the host has no place in a recording.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrdbg.errors import UsageError

SUBJECTS = (
    "version", "status", "cpus", "registers", "mem", "tlb", "mtree", "pic", "irq", "lapic", "pci", "qtree", "qom-tree",
    "qdm", "roms", "block", "blockstats", "chardev", "network", "usb", "mice", "numa", "memdev", "memory-devices",
    "memory_size_summary", "hotpluggable-cpus", "iothreads", "ramblock", "replay", "uuid", "name", "virtio",
    "virtio-status", "skeys", "cmma", "kvm",
)  # fmt: skip
"""What ``info`` may be asked for; a QEMU that has no such thing says so."""

_ARGUMENTS = re.compile(r"[\w\s./,:@=+-]*", re.ASCII)
_INFO = re.compile(r"info\s+(?P<subject>[\w-]+)(?P<rest>(?:\s.*)?)", re.ASCII)
_TRANSLATE = re.compile(r"gva2gpa\s+(?P<address>\S.*)", re.ASCII)
_PHYSICAL = re.compile(r"xp\s*(?:/(?P<count>\d{0,5})(?P<letters>[a-z]{0,2}))?\s+(?P<address>\S.*)", re.ASCII)
_HOST_ADDRESS = re.compile(r"gpa2h[vp]a\b.*", re.ASCII)
_SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
_MOST_BYTES = 1 << 16
_LONGEST_INSTRUCTION = 16
_LONGEST_LINE = 300


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A command for the monitor: ``line`` with ``{}`` where the number goes that the expression ``address`` stands for.

    ``physical`` bytes from there are read; if they were a device's, reading would change it.
    """

    line: str
    address: str = ""
    physical: int = 0


def read_inquiry(text: str) -> Inquiry:
    """The command that ``text`` is.

    :raises UsageError: it is none that only looks.
    """
    text = text.strip()
    if len(text) <= _LONGEST_LINE and text.isprintable():
        if (match := _INFO.fullmatch(text)) and match["subject"] in SUBJECTS and _ARGUMENTS.fullmatch(match["rest"]):
            return Inquiry(text)
        if match := _TRANSLATE.fullmatch(text):
            return Inquiry("gva2gpa {:#x}", match["address"])
        if match := _PHYSICAL.fullmatch(text):
            return _physical(match)
        if _HOST_ADDRESS.fullmatch(text):
            raise UsageError(
                f"'{text}' asks where in this host's memory a QEMU has the guest's. Another QEMU may stand at the "
                "cursor by the next command, so nothing may be read there: 'xp /FMT ADDRESS' reads physical memory; "
                "GDB's own commands do after 'maintenance packet Qqemu.PhyMemMode:1'."
            )
    raise UsageError(
        f"QEMU's command '{text}' may change the guest, its disks or this host, and a recording stays as it is. "
        "'info SUBJECT', 'gva2gpa ADDRESS' and 'xp /FMT ADDRESS' only look; 'what-if on' starts a guest that can be "
        "changed."
    )


def _physical(match: re.Match[str]) -> Inquiry:
    letters, count = match["letters"] or "", int(match["count"] or 1)
    size = next((_SIZES[letter] for letter in letters if letter in _SIZES), 8 if "g" in letters else 4)
    if "i" in letters:
        size = _LONGEST_INSTRUCTION
    if not 1 <= count * size <= _MOST_BYTES:
        raise UsageError(f"'xp' reads 1 to {_MOST_BYTES:,} bytes at once.")
    return Inquiry(f"xp /{count}{letters} {{:#x}}", match["address"], count * size)
