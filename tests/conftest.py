"""Fixtures for the whole suite: the guests, built once and kept in build/guests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guests.build import GuestError, build
from tests.guests.linux import LinuxGuest, build_linux

GUEST_DIR = Path(__file__).parent.parent / "build" / "guests"


@contextmanager
def failing_clearly(name: str) -> Iterator[None]:
    """Turn a guest that cannot be built into a failed test with the reason alone, without a traceback."""
    try:
        yield
    except GuestError as error:
        pytest.fail(f"Cannot build the guest {name}: {error}", pytrace=False)


@pytest.fixture(scope="session")
def workload_guest() -> Path:
    """The ELF file of a deterministic bare-metal program (tests/guests/workload)."""
    with failing_clearly("workload"):
        return build("workload", GUEST_DIR)


@pytest.fixture(scope="session")
def heapbug_guest() -> Path:
    """The ELF file of a bare-metal program with a planted bug (tests/guests/heapbug)."""
    with failing_clearly("heapbug"):
        return build("heapbug", GUEST_DIR)


@pytest.fixture(scope="session")
def linux_guest() -> LinuxGuest:
    """Debian's cloud kernel and a busybox initramfs (tests/guests/linux); for tests marked ``linux``."""
    with failing_clearly("linux"):
        return build_linux(GUEST_DIR)
