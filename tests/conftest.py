"""Fixtures for the whole suite: the guests, built once and kept in build/guests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guests.build import GuestError, build

GUEST_DIR = Path(__file__).parent.parent / "build" / "guests"


def built(name: str) -> Path:
    try:
        return build(name, GUEST_DIR)
    except GuestError as error:
        pytest.fail(f"Cannot build the guest {name}: {error}", pytrace=False)


@pytest.fixture(scope="session")
def workload_guest() -> Path:
    """The ELF file of a deterministic bare-metal program (tests/guests/workload)."""
    return built("workload")


@pytest.fixture(scope="session")
def heapbug_guest() -> Path:
    """The ELF file of a bare-metal program with a planted bug (tests/guests/heapbug)."""
    return built("heapbug")
