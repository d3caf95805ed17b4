"""Who runs, and which tasks there are: the guest has printed it itself, by ps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.replay import Replay
from rrdbg.model.linux.task import Mode
from rrdbg.model.timeline.position import START
from rrdbg.store.history import Console

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]

_ROW = re.compile(r"^ *(\d+) (.+?)\r?$", re.MULTILINE)


def printed_by_ps(recording: Path) -> dict[int, str]:
    """The tasks that the guest's ps has listed, by pid."""
    text = (recording / "console.log").read_text()
    table = text[text.index("PID") : text.index("tasks: listed")]
    return {int(pid): _plain(comm) for pid, comm in _ROW.findall(table)}


def _plain(comm: str) -> str:
    """A worker's name without what it works on, which the kernel adds where /proc shows it."""
    return comm.partition("-")[0] if comm.startswith("kworker") else comm


async def test_tasks_are_those_that_ps_shows(tasks: Replay) -> None:
    """While ps prints its last line it still runs, and has seen what it prints, in user mode."""
    layout = tasks.recording.layout
    expected = printed_by_ps(layout.root)
    assert expected[1] == "init"
    assert len(expected) > 20
    place = Console.read(layout.log, layout.console).find("tasks: listed", START)
    assert place
    ps = next(pid for pid, comm in expected.items() if comm == "ps")
    shown = Console.read(layout.log, layout.console).find(f"{ps} ps", START)
    assert shown
    guest = LinuxGuest(tasks)
    await tasks.seek(shown)
    listed = {known.task.pid: known.task.comm for known in await guest.listed()}
    assert {pid: listed.get(pid) for pid in expected} == expected
    assert not set(listed) - set(expected) - {0}, "kernel threads that have begun meanwhile would stand here"
    running = await guest.running()
    assert running
    assert running.task.pid in (ps, *(pid for pid, comm in expected.items() if comm.startswith("kworker")))
    assert running.mode is not Mode.USER, "the serial port is the kernel's"
    parents = {known.task.pid: known.parent for known in await guest.listed()}
    assert parents[ps] == 1


async def test_before_the_kernel_nobody_runs(tasks: Replay) -> None:
    guest = LinuxGuest(tasks)
    assert await guest.running() is None
    assert await guest.listed() == ()
    assert guest.known
