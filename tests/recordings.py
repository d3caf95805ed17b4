"""Recordings as they were made, though others have travelled in them since."""

from __future__ import annotations

import shutil
from pathlib import Path


def fresh_copy(recording: Path, target: Path) -> Path:
    """A copy of ``recording`` as ``target``, without snapshots, costs and hits, which make movements quick."""
    shutil.copytree(recording, target, dirs_exist_ok=True)
    forget(target)
    return target


def forget(recording: Path) -> None:
    """Remove all that was computed of ``recording``, but what its RAM is."""
    for file in (recording / "snapshots").glob("[0-9]*"):
        file.unlink()
    for name in ("timeline.json", "hits.json", "ram/pages.bin", "ram/pages.sum", "ram/base.ram", "ram/base.pages"):
        (recording / name).unlink(missing_ok=True)
