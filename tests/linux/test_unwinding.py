"""The kernel's stack without debug information: each frame says where its caller goes on, and there it does."""

from __future__ import annotations

import re

import pytest

from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.engine.replay import Replay
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.results import Output, Stopped
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.position import Position

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]

_FRAME = re.compile(r"^#\d+ +0x([0-9a-f]{16}) in (\S+) \(\)$", re.MULTILINE)


async def frames(debugger: Debugger) -> list[tuple[int, str]]:
    """The frames as GDB shows them; a line of another form is one that it does not understand."""
    (shown,) = await debugger.run("backtrace")
    assert isinstance(shown, Output)
    found = [(int(address, 16), name) for address, name in _FRAME.findall(shown.text)]
    assert len(found) == len(shown.text.strip().splitlines()), shown.text
    return found


async def test_frames_are_where_their_callers_go_on(tasks: Replay) -> None:
    kernel = await kernel_of(tasks)
    assert kernel
    await tasks.seek(kernel.seen)
    async with Debugger.on(tasks, "gdb", None) as debugger:
        await debugger.run("break wake_up_process")
        await debugger.run("continue")
        before = await frames(debugger)
        assert before[0][1] == "wake_up_process"
        assert before[-1][1] in ("ret_from_fork", "secondary_startup_64_no_verify")
        await debugger.run("delete")
        (stopped,) = await debugger.run("finish")
        assert isinstance(stopped, Stopped)
        assert await tasks.pc() == before[1][0]
        assert (await frames(debugger))[1:] == before[2:]

        # Through an interrupt, to what it came upon.
        await debugger.run("break irq_enter_rcu")
        await debugger.run("continue")
        interrupted = await frames(debugger)
        here = tasks.position
        deliveries = tasks.timeline.deliveries
        last = max(
            icount
            for icount, kind in zip(deliveries.icounts, deliveries.kinds, strict=True)
            if kind == Delivery.INTERRUPT and icount <= here.icount
        )
        entry = next(number for number, (_, name) in enumerate(interrupted) if name.startswith("asm_"))
        await tasks.seek(Position(last))
        assert interrupted[entry + 1][0] == await tasks.pc()

        # Where a program has called the kernel its stack ends.
        await debugger.run("delete")
        await debugger.run("break ksys_read")
        await debugger.run("continue")
        assert [name for _, name in await frames(debugger)][-2:] == ["do_syscall_64", "entry_SYSCALL_64_after_hwframe"]
