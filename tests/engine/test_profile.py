"""Profiles and coverage of a recording are what GDB and single-stepping show."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rrdbg.engine.queries.profile import Sample, profile
from rrdbg.engine.replay import Replay
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.frontends.shared.program import program_of
from rrdbg.model.results import Output
from rrdbg.model.timeline.position import Position
from tests.oracle import Oracle

_WALK = (
    "python exec('f = gdb.newest_frame()\\nwhile f:\\n  "
    'if f.type() != gdb.INLINE_FRAME and f.function(): print(f"at {f.pc():x} {f.function()}")\\n  f = f.older()\')'
)
_FRAME = re.compile(r"^at ([0-9a-f]+) (\S+)$", re.MULTILINE)


@pytest.fixture
async def replay(workload: Path, tmp_path: Path) -> AsyncIterator[Replay]:
    async with await Replay.open(shutil.copytree(workload, tmp_path / "workload")) as opened:
        yield opened


async def samples(replay: Replay, elf: Path, every: int, start: Position, end: Position) -> list[Sample]:
    program = await program_of(replay, elf)
    assert program
    return [sample async for sample in profile(replay, every, start, end, program.frames)]


async def test_stacks_are_those_of_gdb(replay: Replay, workload_guest: Path, busy: Oracle) -> None:
    start, end = busy[0].position, busy[len(busy) - 1].position
    found = await samples(replay, workload_guest, 97, start, end)
    deep = 0
    async with Debugger.on(replay, "gdb", workload_guest) as debugger:
        for sample in found[::3]:
            entry = busy[busy.index(sample.position)]
            assert sample.stack[0] == entry.pc
            await replay.seek(sample.position)
            (shown,) = await debugger.run(_WALK)
            assert isinstance(shown, Output)
            named = [int(address, 16) for address, _ in _FRAME.findall(shown.text)]
            print(sample.position, [hex(a) for a in sample.stack], shown.text)
            deep += len(named) > 2
    assert deep
