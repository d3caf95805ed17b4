"""What GDB cannot do it says, also after it has said that the guest runs; and what GDB does ends on Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from rrdbg.errors import Interrupted
from tests.shell.conftest import Opened

SCRIPTS = [
    "while 1\nstepi\nend",
    "while 1\nreverse-stepi\nend",
    "python import time; print('up'); time.sleep(100)",
    "python import os; print('up'); os.system('sleep 100')",
]
DEAF = (
    "python\nimport os, signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
    "os.kill({}, signal.SIGINT)\ntime.sleep(100)\nend"
)
"""It presses Ctrl-C for the user as soon as it is deaf."""


async def test_a_large_object_is_watched(opened: Opened, heapbug: Path) -> None:
    """GDB asks for one watchpoint over all of it, and its old and new value are what it was written last."""
    async with opened(heapbug) as user:
        size = int((await user("print sizeof(tasks)")).split("= ")[1])
        assert size > 512
        await user("watch *(unsigned char (*)[5000]) &tasks")
        assert "Hardware watchpoint 1" in await user("rc")
        large = user.position
        await user("delete")
        await user("end")
        whole = await user("print *(unsigned char (*)[5000]) &tasks")
        await user(f"seek {large}")
        assert await user("print *(unsigned char (*)[5000]) &tasks") != whole
        await user("stepi")
        assert (await user("print *(unsigned char (*)[5000]) &tasks")).split("=")[1] == whole.split("=")[1]


async def test_what_gdb_cannot_insert_is_said(opened: Opened, heapbug: Path) -> None:
    async with opened(heapbug) as user:
        await user("set max-value-size unlimited")
        await user("watch *(unsigned char (*)[70000]) &tasks")
        here = user.position
        for line in ("reverse-continue", "continue", "stepi"):
            async with asyncio.timeout(120):
                assert "1 to 65,536 bytes, not 70,000" in await user.refused(line)
            assert user.position == here
        await user("delete")
        assert "$" in await user("print 6 * 7")


async def test_of_physical_memory_reads_are_not_watched(opened: Opened, heapbug: Path) -> None:
    """GDB would go to a virtual read at that number."""
    async with opened(heapbug) as user:
        here = user.position
        await user("maintenance packet Qqemu.PhyMemMode:1")
        await user("rwatch *(long *) &tasks")
        assert "Of physical memory only writes are found" in await user.refused("reverse-continue")
        assert user.position == here
        await user("delete")
        await user("watch *(long *) &tasks")
        await user("reverse-continue")
        there = user.position
        await user("delete")
        await user("maintenance packet Qqemu.PhyMemMode:0")
        await user(f"seek {here}")
        await user("watch *(long *) &tasks")
        await user("reverse-continue")
        assert user.position == there < here, "this guest maps its memory where it is"


@pytest.mark.parametrize("script", SCRIPTS)
async def test_what_gdb_does_ends_on_ctrl_c(opened: Opened, heapbug: Path, script: str) -> None:
    async with opened(heapbug, at="50%") as user:
        asyncio.get_running_loop().call_later(1.5, os.kill, os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted) as caught:
            async with asyncio.timeout(120):
                await user.shell.run(script)
        assert f"Interrupted at {user.position}." in str(caught.value)
        if "while" in script and user.shell.debugger is None:
            # GDB 13.1 aborts by itself ("Fatal signal: Aborted") if a Ctrl-C comes at a bad moment of a script's stop.
            assert "GDB did not survive it" in str(caught.value)
            return
        assert "= 42" in await user("print 6 * 7"), "GDB goes on"


async def test_a_gdb_that_does_not_react_is_ended(opened: Opened, heapbug: Path) -> None:
    async with opened(heapbug, at="50%") as user:
        here = user.position
        async with asyncio.timeout(120):
            said = await user.refused(DEAF.format(os.getpid()))
        assert said == f"Interrupted at {here}. GDB did not survive it."
        assert any("GDB is gone" in warning for warning in user.noted.errors)
        assert str(here) in await user("when")
