"""The guest's memory as a core, read by drgn, which knows no more of the guest than what stands in that file."""

from __future__ import annotations

import re
from pathlib import Path

import drgn
import pytest

from rrdbg.engine.linux.dump import dump_core
from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.linux.kernel import Kernel
from rrdbg.model.timeline.position import Position

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]


async def test_drgn_reads_what_the_replay_reads(tasks: Replay, tmp_path: Path) -> None:
    kernel = await kernel_of(tasks)
    assert kernel
    await tasks.seek(Position(kernel.seen.icount + 60_000_000))
    core = tmp_path / "core"
    assert await dump_core(await tasks.machine(), kernel, core)
    program = drgn.Program()
    program.set_core_dump(core)
    assert program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL
    for name in ("linux_banner", "init_task", "__per_cpu_offset"):
        address = kernel.addresses[name]
        assert program.read(address, 256) == await tasks.read_memory(address, 256)
    note = re.search(rb"OSRELEASE=([^\n]+)", core.read_bytes())
    assert note
    assert note[1].decode() == kernel.release

    before = tasks.position
    with pytest.raises(UsageError, match="exists already"):
        await dump_core(await tasks.machine(), kernel, core)
    assert (await tasks.stepi(2)).position.icount == before.icount + 2, "the machine goes on"


async def test_before_there_is_a_kernel_a_core_has_no_notes_of_one(tasks: Replay, tmp_path: Path) -> None:
    kernel = await kernel_of(tasks)
    assert isinstance(kernel, Kernel)
    assert not await dump_core(await tasks.machine(), kernel, tmp_path / "core")
    with pytest.raises(ValueError, match="-device vmcoreinfo"):
        drgn.Program().set_core_dump(tmp_path / "core")
