"""Sizes in bytes as people write them, ``4G``, ``1.5 GiB``, ``500M``, ``1048576``; and numbers of things."""

from __future__ import annotations

import re

from rrdbg.errors import UsageError

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def parse_size(text: str) -> int:
    """The bytes that ``text`` writes; K, M, G and T are powers of 1024, as in QEMU's options.

    :raises UsageError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is not a size; write for example 4G, 500M or 1048576 (bytes).")
    return int(float(match["number"]) * (1 << _UNITS[match["unit"].upper()]))


def size_text(size: float) -> str:
    """Bytes as people read them: ``812 kB``, ``45.1 MB``; units are powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def counted(count: int, noun: str) -> str:
    """How many there are of what is called ``noun``: ``1 snapshot``, ``1,024 snapshots``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
