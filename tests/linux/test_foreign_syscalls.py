"""System calls of busybox on aarch64 and riscv64, whose kernels are called otherwise than x86-64's."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.syscalls import syscalls
from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.linux.syscall_abi import ABIS
from rrdbg.model.timeline.position import Position
from tests.conftest import GUEST_DIR, failing_clearly
from tests.linux.asked import printed
from tests.matrix.cells import command

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("architecture", ["aarch64", "riscv64"])
async def test_what_init_and_poweroff_ask_of_the_kernel(architecture: str, tmp_path: Path) -> None:
    """The guest has printed what init writes, and nothing comes after what powers off."""
    with failing_clearly("linux"):
        words = command(f"{architecture}-linux", GUEST_DIR)
    recording = tmp_path / f"{architecture}-linux"
    await Recorder(RecordRequest(words, recording)).run()
    async with await Replay.open(recording) as replay:
        guest = LinuxGuest(replay)
        reader = await guest.tasks()
        done = printed(replay, "rrdbg-guest: done")
        start, end = Position(done.icount - 100_000), replay.timeline.end
        found = [call async for call in syscalls(replay, reader, start, end)]
        shown = [f"{call.task.comm}: {call}" for call in found]
        wrote = next(call for call in found if call.name == "write")
        assert str(wrote) == 'write(1, "rrdbg-guest: done\\n", 18) = 18'
        assert wrote.returned
        assert wrote.position < done < wrote.returned
        (execve,) = (call for call in found if call.name == "execve")
        assert str(execve).startswith('execve("/proc/self/exe", 0x')
        assert (execve.task.comm, execve.result) == ("init", 0)
        exe = 'exe: readlinkat(AT_FDCWD, "/proc/self/exe", "/bin/busybox", '
        assert any(each.startswith(exe) for each in shown), shown
        assert "poweroff: getuid() = 0" in shown
        # The flags of open differ from x86-64's on aarch64.
        opened = 'poweroff: openat(AT_FDCWD, "/var/log/wtmp", O_WRONLY|O_CLOEXEC) = -1 ENOENT'
        assert opened in shown, shown
        assert shown[-1] == (
            "poweroff: reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF) = ?"
        )

        # None is left out: the kernel's function is entered once for each.
        entry = next(reader.kernel.addresses[abi.function] for abi in ABIS if abi.name == architecture)
        hits = [hit.position async for hit in replay.scan([Breakpoint(1, entry)], start, end)]
        assert sorted(call.position for call in found) == hits
        only = [call async for call in syscalls(replay, reader, start, end, task="poweroff", name="getuid")]
        assert [str(call) for call in only] == ["getuid() = 0"]
