"""A replay that may be changed, in the event loop of a test that is no coroutine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rrdbg.engine.replay import Replay

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture
def run() -> Iterator[Run[Any]]:
    """Run coroutines one after another in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def replay(workload: Path, tmp_path: Path, run: Run[Any]) -> Iterator[Replay]:
    """A replay of a copy of workload's recording."""
    copy = Path(shutil.copytree(workload, tmp_path / "workload"))
    opened = run(Replay.open(copy))
    yield opened
    run(opened.close())
