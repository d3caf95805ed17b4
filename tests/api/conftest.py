"""Copies of recordings, opened by the API."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import rrdbg


@pytest.fixture(scope="session")
def heapbug(tmp_path_factory: pytest.TempPathFactory, heapbug: Path) -> Path:
    """A copy of the recording of heapbug, in which tests travel."""
    return Path(shutil.copytree(heapbug, tmp_path_factory.mktemp("api") / "heapbug"))


@pytest.fixture
def work(workload: Path, tmp_path: Path) -> Iterator[rrdbg.Replay]:
    """A copy of the recording of workload, opened."""
    with rrdbg.open(shutil.copytree(workload, tmp_path / "workload")) as replay:
        yield replay


@pytest.fixture
def heap(heapbug: Path, tmp_path: Path) -> Iterator[rrdbg.Replay]:
    """A copy of the recording of heapbug, opened."""
    with rrdbg.open(shutil.copytree(heapbug, tmp_path / "heapbug")) as replay:
        yield replay
