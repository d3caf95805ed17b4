"""A recording of each guest of the matrix, made with the QEMU on PATH."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import GUEST_DIR, failing_clearly
from tests.engine.conftest import run
from tests.matrix import cells

__all__ = ["run"]

CELLS = [
    pytest.param(
        name,
        id=name,
        marks=[pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(3600)] if name.endswith("linux") else [],
    )
    for name in cells.CELLS
]


@pytest.fixture(scope="session", params=CELLS)
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with snapshots; not to be changed."""
    name = request.param
    with failing_clearly(name):
        words = cells.command(name, GUEST_DIR)
    return asyncio.run(cells.record(name, words, tmp_path_factory.mktemp("cell") / name))
