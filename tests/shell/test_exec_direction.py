"""``set exec-direction reverse`` turns each of GDB's movements round, those with many steps too, which are ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell.conftest import Opened


@pytest.mark.parametrize("watching", [False, True])
async def test_steps_go_back(opened: Opened, heapbug: Path, *, watching: bool) -> None:
    async with opened(heapbug) as user:
        end = user.position
        if watching:
            await user("break *0")  # then the steps are GDB's
        await user("rsi 300")
        early = user.position
        await user("seek end")
        await user("set exec-direction reverse")
        for line in ("stepi 300", "si 3e2"):
            await user(line)
            assert user.position == early, line
            await user("seek end")
        await user("stepi")
        await user("stepi 2")
        assert user.position.icount == end.icount - 3
        assert "Already in reverse mode" in await user.refused("reverse-stepi 5")
        assert "Already in reverse mode" in await user.refused("rsi")
        await user("set exec-direction forward")
        await user("stepi 3")
        assert user.position == end


async def test_other_movements_go_back(opened: Opened, heapbug: Path) -> None:
    async with opened(heapbug) as user:
        await user("set exec-direction reverse")
        for line in ("nexti", "nexti 3", "step", "next", "until", "advance schedule", "finish", "continue"):
            before = user.position
            await user(line)
            assert user.position < before, line
