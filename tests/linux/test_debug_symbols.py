"""Debian's kernel with its -dbg package: moved to where the kernel lies, with its types, lines and frames."""

from __future__ import annotations

import re
from contextlib import aclosing
from pathlib import Path

import pytest

from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.engine.linux.syscalls import syscalls
from rrdbg.engine.replay import Replay
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.results import Output, Stopped
from rrdbg.model.timeline.position import START
from tests.guests.linux.tasks import Tasks
from tests.linux.asked import answers, console_of, printed
from tests.linux.test_kernel import told

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(900)]

_FRAME = re.compile(r"^#(\d+) +(?:0x([0-9a-f]+) in )?(\w+) \(.*\) at (\S+):(\d+)$", re.MULTILINE)


async def said(debugger: Debugger, line: str) -> str:
    (answer,) = await debugger.run(line)
    assert isinstance(answer, Output | Stopped)
    return answer.text


async def frames(debugger: Debugger) -> list[str]:
    """The functions of all frames; every line is a frame with its source, and nothing else is said."""
    text = await said(debugger, "backtrace")
    found = _FRAME.findall(text)
    assert [int(number) for number, *_ in found] == list(range(len(text.strip().splitlines()))), text
    return [name for _, _, name, *_ in found]


async def test_lines_types_and_variables_of_a_kernel_that_has_moved(tasks: Replay, vmlinux: Path) -> None:
    addresses = told(tasks.recording.layout.root)
    async with Debugger.on(tasks, "gdb", vmlinux) as debugger:
        # From the first instruction on, when the CPU has 16 bits and nothing lies there yet.
        assert "file fs/open.c, line " in await said(debugger, "break do_sys_openat2")
        (point,) = await debugger._points()
        stopped = await said(debugger, "continue")
        assert "do_sys_openat2 (dfd=-100, filename=0x" in stopped
        assert '"/init", how=how@entry=' in stopped
        async with aclosing(tasks.scan([Breakpoint(9, int(point["addr"], 16))], START, tasks.timeline.end)) as hits:
            assert tasks.position == (await anext(hits)).position
        await debugger.run("delete")
        assert '"swapper/0' in await said(debugger, "print init_task.comm")
        for name in ("linux_banner", "init_task", "jiffies_64", "panic", "__switch_to"):
            assert await debugger.symbols.number(f"(long)&{name}") == addresses[name], name
        kernel = await kernel_of(tasks)
        assert kernel
        for member in ("pid", "tgid", "comm"):
            place = await debugger.symbols.number(f"(long)&((struct task_struct *)0)->{member}")
            assert place == kernel.offsets[f"task_struct.{member}"], "as its own description has it"

        # Back out of the function, by lines, and into it again.
        here = tasks.position
        assert "do_sys_open (" in await said(debugger, "reverse-finish")
        assert "fs/open.c" in await said(debugger, "info source")
        assert "do_sys_openat2 (" in await said(debugger, "step")
        assert tasks.position == here


async def test_frames_end_where_a_program_has_called_the_kernel(tasks: Replay, vmlinux: Path) -> None:
    end = printed(tasks, "witness: main")
    await tasks.seek(end)
    reader = await LinuxGuest(tasks).tasks()
    async with Debugger.on(tasks, "gdb", vmlinux) as debugger:
        await debugger.run("break ksys_write")
        await debugger.run("reverse-continue")
        written = await frames(debugger)
        assert written[0] == "ksys_write"
        assert written[-2:] == ["do_syscall_64", "entry_SYSCALL_64"]
        calls = [call async for call in syscalls(tasks, reader, tasks.position, end, name="write")]
        assert not calls, "it is inside of the call that prints this"
        await debugger.run("delete")

        # Through an interrupt, which has a stack of its own, to what it came upon.
        await debugger.run("break irq_enter_rcu")
        await debugger.run("continue")
        interrupted = await frames(debugger)
        assert interrupted[0] == "irq_enter_rcu"
        assert interrupted[1] in ("common_interrupt", "sysvec_apic_timer_interrupt")
        assert interrupted[-2:] == ["do_syscall_64", "entry_SYSCALL_64"]
        number = next(number for number, name in enumerate(interrupted) if name.startswith("asm_"))
        assert number in range(2, 6)
    assert "witness: main" in console_of(tasks.recording.layout.root)


async def test_steps_back_into_a_system_call_and_out_to_the_program_again(
    tasks: Replay, vmlinux: Path, tasks_guest: Tasks
) -> None:
    """By lines: from behind a write back into the kernel, and out of it to what has called it."""
    await tasks.seek(printed(tasks, "witness: close"))
    async with Debugger.on(tasks, "gdb", vmlinux) as debugger:
        session = debugger.session
        await answers(session, f"symbols {tasks_guest.program}")
        await answers(session, f"symbols {tasks_guest.library}")
        in_kernel = tasks.position
        await debugger.run("tbreak witness.c:46")
        assert "main () at " in await said(debugger, "continue")
        assert tasks.position > in_kernel

        names: list[str] = []
        while "entry_SYSCALL_64" not in names and len(names) < 60:
            await debugger.run("reverse-step")
            frame = await debugger.symbols.frame()
            assert frame
            names.append(frame.function or "")
        assert names[-1] == "entry_SYSCALL_64", names
        guest = LinuxGuest(tasks)
        running = await guest.running()
        assert running
        assert (running.task.comm, running.mode) == ("witness", "kernel")
        assert tasks.position > in_kernel
        await debugger.run("tbreak do_syscall_64")
        assert "do_syscall_64 (" in await said(debugger, "reverse-continue")
        assert tasks.position < in_kernel
        assert await frames(debugger) == ["do_syscall_64", "entry_SYSCALL_64"]

        # The library's function, which the program's own has called. By lines GDB itself goes too far back over a PLT.
        await debugger.run("tbreak *(long)&entry_SYSCALL_64")
        await debugger.run("reverse-continue")
        await debugger.run("reverse-stepi")
        running = await guest.running()
        assert running
        assert running.mode == "user"
        frames_here = await said(debugger, "backtrace")
        assert " in tell (" in frames_here
        assert " in main () at " in frames_here
        await debugger.run("tbreak tell")
        assert "tell (call=" in await said(debugger, "reverse-continue")
        # And through it once more, forward.
        assert "main () at " in await said(debugger, "finish")
        assert tasks.position > in_kernel
