"""A function without symbols is run to its return, on architectures that call by a register."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rrdbg.engine.queries import returning
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.hits.stop import Breakpoint, StopReason
from rrdbg.model.program.linkage import linkage_of
from rrdbg.model.timeline.position import START, Position
from tests.engine.conftest import Elsewhere
from tests.guests.build import symbol

_MOST = 100
"""Steps that the functions take at most."""


async def returned(replay: Replay, link: str, stack: str) -> Position:
    """Where the function returns to that the cursor is at the first instruction of, found by single steps."""
    entered = await replay.registers()
    for _ in range(_MOST):
        stop = await replay.stepi()
        if stop.pc == entered[link] & ~1 and (await replay.registers())[stack] == entered[stack]:
            return stop.position
    pytest.fail("it has not returned")


async def test_the_return_is_that_of_the_forward_run(elsewhere: Elsewhere, tmp_path: Path) -> None:
    copy = shutil.copytree(elsewhere.root, tmp_path / "copy")
    async with await Replay.open(copy) as replay:
        linkage = linkage_of(replay.recording.manifest.invocation.architecture)
        assert linkage
        for name in ("make", "over_the_stack"):
            entry = symbol(elsewhere.about.elf, name).address & ~1
            await replay.seek(START)
            points = [Breakpoint(1, entry)]
            for _ in range(3):  # the first time it is translated, later on it is not
                assert (await replay.cont(points)).pc == entry
            begun = replay.position
            expected = await returned(replay, linkage.link, linkage.stack)
            for inside in (0, 1, 2):
                await replay.seek(Position(begun.icount + inside))
                stop = await returning.run_out(replay, ())
                assert (stop.position, stop.reason) == (expected, StopReason.STEP)
            await replay.seek(begun)
            after = Position(begun.icount + 1)
            breakpoint_ = (await replay.seek(after)).pc
            await replay.seek(begun)
            assert (await returning.run_out(replay, {breakpoint_})).position == after


async def test_what_never_returns_is_said(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program itself calls others, which return."""
    monkeypatch.setattr(returning, "LONGEST", 300)
    copy = shutil.copytree(elsewhere.root, tmp_path / "copy")
    async with await Replay.open(copy) as replay:
        with pytest.raises(UsageError, match="Nothing returned within 300 instructions"):
            await returning.run_out(replay, ())
        assert replay.position == START
