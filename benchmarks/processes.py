"""How much memory processes take, as Linux tells it."""

from __future__ import annotations

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
