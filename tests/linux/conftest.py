"""A recording of a Linux guest that relocates itself, which all tests here travel in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests import linux
from tests.guests.linux.tasks import Tasks, build_tasks
from tests.recordings import made_once


@pytest.fixture(scope="session")
def tasks_guest() -> Tasks:
    """The guest, and the files of what runs in it."""
    with failing_clearly("linux"):
        return build_tasks(GUEST_DIR)


@pytest.fixture(scope="session")
def vmlinux(tasks_guest: Tasks) -> Path:
    """The kernel's own vmlinux, with all of its debugging information."""
    with failing_clearly("linux"):
        return linux.fetch_vmlinux(tasks_guest.guest.kernel)


@pytest.fixture(scope="session")
def tasks_recording(tmp_path_factory: pytest.TempPathFactory, tasks_guest: Tasks) -> Path:
    """A recording of it, with what there is to know about its kernel."""
    guest = tasks_guest.guest
    command = (
        "qemu-system-x86_64", *linux.QEMU_OPTIONS, "-nographic", "-no-reboot", "-kernel", str(guest.kernel),
        "-initrd", str(guest.initrd), "-append", guest.cmdline,
    )  # fmt: skip

    async def make(directory: Path) -> None:
        await Recorder(RecordRequest(command, directory)).run()
        async with await Replay.open(directory) as replay:
            assert await kernel_of(replay)

    return made_once(tmp_path_factory, "tasks", lambda directory: asyncio.run(make(directory)))


@pytest.fixture
async def tasks(tasks_recording: Path) -> AsyncIterator[Replay]:
    """It, opened: what one test has looked at is near for the next."""
    async with await Replay.open(tasks_recording) as replay:
        yield replay
