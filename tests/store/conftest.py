"""Logs that tests write themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    """Puts bytes into a file, always the same one."""
    path = tmp_path_factory.mktemp("log") / "replay.bin"

    def put(content: bytes) -> Path:
        path.write_bytes(content)
        return path

    return put
