"""A core of the guest's memory in crash and in drgn, with the kernel's whole debugging information."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import drgn
import pytest
from drgn.helpers.linux import pid as helpers

import rrdbg
from rrdbg.engine.linux.dump import dump_core
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.replay import Replay
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.linux.tools import fetch_tool
from tests.linux.asked import printed

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(900)]

_TASK = re.compile(r"^  pid = (\d+),\n  comm = \"([^\"\\\\]*)", re.MULTILINE)
_COMMANDS = "set scroll off\nsys\nlist task_struct.tasks -s task_struct.pid,comm -h init_task\nlog\nquit\n"


@pytest.fixture(scope="module")
def crash() -> Path:
    """The folder of crash, and of the libraries that it needs."""
    with failing_clearly("crash"):
        return fetch_tool(GUEST_DIR, "crash", "liblzo2-2", "libsnappy1v5")


async def test_both_list_the_tasks_that_are_listed_here(
    tasks: Replay, vmlinux: Path, crash: Path, tmp_path: Path
) -> None:
    await tasks.seek(printed(tasks, "witness: main"))
    guest = LinuxGuest(tasks)
    # The idle task and threads that do not lead a process stand in no list of the kernel's processes.
    listed = {each.task.pid: each.task.comm for each in await guest.listed() if each.task.pid == each.task.tgid}
    kernel = await guest.look()
    core = tmp_path / "core"
    assert await dump_core(await tasks.machine(), kernel, core)

    commands = tmp_path / "commands"
    commands.write_text(_COMMANDS)
    words = (crash / "crash", "-s", "-i", commands, vmlinux, core)
    environment = {"LD_LIBRARY_PATH": str(crash), "PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": str(tmp_path)}
    done = await asyncio.create_subprocess_exec(*words, env=environment, stdout=PIPE, stderr=STDOUT)
    said = (await done.communicate())[0].decode()
    assert done.returncode == 0, said
    assert kernel
    assert f"RELEASE: {kernel.release}" in said
    assert kernel.banner.partition(" (")[0] in said, "the kernel's own log"
    assert {int(pid): comm for pid, comm in _TASK.findall(said)} == listed

    program = drgn.Program()
    program.set_core_dump(core)
    program.load_debug_info([vmlinux])
    found = {task.pid.value_(): task.comm.string_().decode() for task in helpers.for_each_task(program)}
    assert {0: "swapper/0"} | found == listed


def test_drgn_at_the_cursor_has_its_helpers(tasks_recording: Path, vmlinux: Path) -> None:
    with rrdbg.open(tasks_recording, symbols=vmlinux, gdb=None) as replay:
        program = replay.drgn()
        names = []
        for place in ("50%", "end"):
            replay.seek(place)
            names.append({task.comm.string_() for task in helpers.for_each_task(program)})
        assert b"poweroff" in names[1] - names[0]
        assert b"init" in names[0]
