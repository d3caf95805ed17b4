"""A recording of each guest of the matrix, made with the QEMU on PATH."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import GUEST_DIR, failing_clearly
from tests.engine.conftest import run
from tests.matrix.cells import ARCHITECTURES, GUESTS, command, record

__all__ = ["run"]

CELLS = [
    pytest.param(
        (architecture, guest),
        id=f"{architecture}-{guest}",
        marks=[pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(3600)] if guest == "linux" else [],
    )
    for guest in GUESTS
    for architecture in ARCHITECTURES
]


@pytest.fixture(scope="session", params=CELLS)
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with snapshots; not to be changed."""
    architecture, guest = request.param
    with failing_clearly(f"{architecture} {guest}"):
        words = command(architecture, guest, GUEST_DIR)
    return asyncio.run(record(words, tmp_path_factory.mktemp("cell") / f"{architecture}-{guest}"))
