"""The kernel's types in GDB, of its own description: they lie where that says, and show what rrdbg reads itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rrdbg.commands.session import Session
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.replay import Replay
from rrdbg.errors import LinkError, UsageError
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.type_file import make_type_file
from rrdbg.model.results import SymbolsAt
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.linux import fetch_bpftool
from tests.linux.asked import answers

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]

_MEMBERS = ("pid", "comm", "tasks", "mm", "signal", "real_parent", "stack")


@pytest.fixture(autouse=True)
def _bpftool(monkeypatch: pytest.MonkeyPatch) -> None:
    with failing_clearly("linux"):
        tool = fetch_bpftool(GUEST_DIR)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tool.parent}")


@pytest.mark.matrix  # 35 s, and fetches bpftool
async def test_gdb_knows_the_kernels_structures(tasks: Replay) -> None:
    await tasks.seek(tasks.timeline.end)
    guest = LinuxGuest(tasks)
    kernel = await guest.look()
    assert kernel
    async with Debugger.on(tasks, "gdb", None) as debugger:
        session = Session(tasks)
        session.symbols = debugger.symbols
        (loaded,) = await answers(session, "symbols types")
        assert isinstance(loaded, SymbolsAt)
        assert loaded.loaded
        for name in _MEMBERS:
            offset = await debugger.symbols.number(f"&((struct task_struct *) 0)->{name}")
            assert offset == kernel.offsets[f"task_struct.{name}"], name
        running = await guest.running()
        assert running
        task = f"((struct task_struct *) {running.task.address:#x})"
        assert await debugger.symbols.number(f"{task}->pid") == running.task.pid
        assert f'"{running.task.comm}"' in await debugger.symbols.value(f"(char *) {task}->comm")
        assert await debugger.symbols.value("(char *) ((struct task_struct *) &init_task)->comm") is not None
        # Compiled, to be judged where nobody stops.
        assert (await debugger.symbols.condition("((struct task_struct *) &init_task)->pid == 0")).code
        made = Path(loaded.path)
        first = made.stat().st_mtime_ns
        await answers(session, "symbols types")
        assert made.stat().st_mtime_ns == first, "it is made once in a session"


async def test_names_that_are_none_are_refused(tmp_path: Path) -> None:
    for name in (b'#include "/etc/passwd"', b"a;b", b"a\nb", b'_Pragma("x")', b"a/*"):
        with pytest.raises(LinkError, match="which none in C is"):
            await make_type_file(b"", b"int\0" + name + b"\0", "x86_64", tmp_path / "types.elf")
    assert not list(tmp_path.iterdir())


async def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("rrdbg.links.type_file._SYSTEM", str(tmp_path))
    with pytest.raises(UsageError, match=r"bpftool is not installed.*apt-get install bpftool"):
        await make_type_file(b"", b"", "x86_64", tmp_path / "types.elf")
    (tmp_path / "bpftool").write_text("#!/bin/sh\n")
    (tmp_path / "bpftool").chmod(0o755)
    with pytest.raises(UsageError, match="apt-get install gcc-aarch64-linux-gnu"):
        await make_type_file(b"", b"", "aarch64", tmp_path / "types.elf")
