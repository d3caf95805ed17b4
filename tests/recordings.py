"""Recordings as they were made, though others have travelled in them since; and one for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rrdbg.store.recording import adopt


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The recording ``name``, as this process' own, not to be changed.

    The first of pytest's processes that wants it has ``make`` put it into a new folder; each has a copy of that.
    """
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "recorded"
    shared.mkdir(exist_ok=True)
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = shared / f"{name}.complete"
        if not complete.exists():
            shutil.rmtree(shared / name, ignore_errors=True)  # of a process that did not come to its end
            make(shared / name)
            complete.touch()
        copy = Path(shutil.copytree(shared / name, factory.mktemp(name) / name))
    # Each process has its own list of what was made here.
    adopt(copy)
    return copy


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
