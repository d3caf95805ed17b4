"""Recordings of two Arm guests: a Cortex-M board to its fault, and AArch64 with two address spaces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.rtos import build_rtos
from tests.guests.spaces import SpacesGuest, build_spaces


def _record(command: Sequence[str], directory: Path, until_console: str | None = None) -> Path:
    request = RecordRequest(tuple(command), directory, until_console=until_console)
    return asyncio.run(Recorder(request).run()).directory


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weather station of docs/howto/cortex-m.md, to its hard fault."""
    with failing_clearly("rtos"):
        elf = build_rtos("mps2-an385", GUEST_DIR)
    command = ("qemu-system-arm", "-M", "mps2-an385", "-nographic", "-kernel", str(elf))
    return _record(command, tmp_path_factory.mktemp("arm") / "station", until_console="HARD FAULT")


@pytest.fixture(scope="session")
def spaces() -> SpacesGuest:
    """A program of AArch64 that writes numbers to one address in two address spaces."""
    with failing_clearly("spaces"):
        return build_spaces("aarch64", GUEST_DIR)


@pytest.fixture(scope="session")
def two_spaces(tmp_path_factory: pytest.TempPathFactory, spaces: SpacesGuest) -> Path:
    """A recording of ``spaces``, to its power-off."""
    return _record(spaces.command, tmp_path_factory.mktemp("arm") / "two_spaces")
