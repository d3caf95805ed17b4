"""Copies of recordings, opened by the API."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import rrdbg
from tests.conftest import record


@pytest.fixture(scope="session")
def heapbug(tmp_path_factory: pytest.TempPathFactory, heapbug_guest: Path) -> Path:
    """A recording of heapbug up to its panic; not to be changed."""
    return record(heapbug_guest, tmp_path_factory.mktemp("api") / "heapbug", until_console="PANIC")


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
