"""Recordings as they were made, though others have travelled in them since."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path


def fresh_copy(recording: Path, target: Path) -> Path:
    """A copy of ``recording`` as ``target``, without snapshots, costs and hits, which make movements quick."""
    return Path(shutil.copytree(recording, target, ignore=_left_by_travel, dirs_exist_ok=True))


def _left_by_travel(folder: str, names: Sequence[str]) -> set[str]:
    snapshots = {name for name in names if name[0].isdecimal()} if Path(folder).name == "snapshots" else set()
    return snapshots | {"timeline.json", "hits.json"}
