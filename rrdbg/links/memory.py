"""What memory this machine has, and what of it a process holds, as Linux's /proc tells (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path


def resident(pid: int) -> int:
    """The bytes of memory that a process holds: its resident set; 0 if it has ended, or is not to be seen."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def proportional(pid: int) -> int:
    """The bytes of memory that a process holds, of what it shares with others its share only (PSS); 0 as above."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def available() -> int:
    """The bytes that new work may take without swapping, by the kernel's estimate; 0 if it gives none."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            return int(amount.split()[0]) * 1024
    return 0
