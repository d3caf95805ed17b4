"""An agent at recordings of Arm guests."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.guests.spaces import SpacesGuest
from tests.mcp.agent import agent, position_in


def test_a_cortex_m(station: Path, tmp_path: Path) -> None:
    """The bug of docs/howto/cortex-m.md."""

    async def solve() -> None:
        async with agent(tmp_path, [station]) as asking:
            assert "HARD FAULT" in await asking.ask("describe")
            state = await asking.ask("state", at="end", expressions=["current"])
            assert "hard_fault_handler" in state
            assert "pendsv_handler" in state
            assert "Cannot access" not in state, "of an exception's frame, which has no instruction"
            told = await asking.ask("last_write", expression="current")
            assert "in: choose_task" in told
            assert "new value = 0x24d <hard_fault_handler>" in told
            told = await asking.ask("last_write", expression="((struct task *) 0x20000110)->next", at=position_in(told))
            assert "in: pendsv_handler" in told
            assert "old value = 0x200001e0 <heap+464>" in told
            assert "new value = 0x0 <vectors>" in told
            saved = position_in(told)
            state = await asking.ask("state", at=saved, expressions=["current->name", "(long) current - $r0"])
            assert '"printer"' in state
            assert state.endswith(f" = {0x200001E0 - 0x20000110}"), "more than the 48 words of its stack"
            taken = await asking.ask("events", kind="interrupt", end=saved, last=True, limit=1)
            begun = next(line.split()[0] for line in taken.splitlines() if line[:1].isdigit())
            assert "put_warning (force=" in await asking.ask("state", at=begun)
            stepped = await asking.ask("step", at=saved, verb="reverse-stepi")
            assert position_in(stepped) == f"{int(saved.replace(',', '')) - 1:,}"

    asyncio.run(solve())


def test_an_aarch64(two_spaces: Path, spaces: SpacesGuest, tmp_path: Path) -> None:
    async def ask() -> None:
        async with agent(tmp_path, [two_spaces], "--symbols", str(spaces.image.with_suffix(".elf"))) as asking:
            found = await asking.ask("find", location="first_write", at="end", expressions=["$x19"])
            assert "$x19 = 47" in found
            cell = f"*(unsigned long *) {spaces.shared:#x}"
            told = await asking.ask("last_write", expression=cell, at=position_in(found))
            assert "new value = 46\n" in told
            assert "first_write" in told
            assert "memory=everywhere shows them" in told
            told = await asking.ask("last_write", expression=cell, at=position_in(found), memory="everywhere")
            assert "in: second_write" in told
            told = await asking.ask("last_write", expression=cell, at=position_in(found), memory="physical")
            assert f"new value = {46:#018x}\n" in told
            written = await asking.ask("writes", expression=cell, at=position_in(found), limit=200)
            assert "NOT searched" not in written
            state = await asking.ask("state", at=position_in(told), registers=True)
            assert {"$x19 = 0x2e", f"$x20 = {spaces.shared:#x}"} <= set(state.splitlines())

    asyncio.run(ask())
