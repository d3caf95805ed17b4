"""How much memory and how many processors are taken, as Linux tells it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from pathlib import Path

_SHARE = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def with_children(pid: int) -> list[int]:
    """A process and all that it has started, and they."""
    found = [pid]
    for process in found:
        for task in _listed(Path(f"/proc/{process}/task")):
            found += [int(child) for child in _read(task / "children").split()]
    return found


def memory(pids: Iterable[int]) -> int:
    """Bytes of memory of processes together; a page that several share counts once."""
    shares = [_SHARE.search(_read(Path(f"/proc/{pid}/smaps_rollup"))) for pid in pids]
    return 1024 * sum(int(share[1]) for share in shares if share)


async def busy_processors(seconds: float = 2.0) -> float:
    """How many processors the machine keeps busy, on the average of so many ``seconds``; see proc_stat(5)."""
    before = _processor_ticks()
    await asyncio.sleep(seconds)
    total, idle = (now - then for now, then in zip(_processor_ticks(), before, strict=True))
    return (os.cpu_count() or 1) * (1 - idle / total) if total else 0.0


def _processor_ticks() -> tuple[int, int]:
    """Ticks of all processors since the machine's start, and those of them that nobody used."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # it has ended


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
