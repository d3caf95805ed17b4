"""``compare``: another recording beside the one that is open, and where forward runs say that the two part."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from rrdbg.engine.hunt.attempt import Guest, attempt
from rrdbg.model.hunt.perturbation import Perturbation
from rrdbg.model.results import Beside, Result, Stopped, WaysPart
from rrdbg.model.timeline.events import NOTABLE
from rrdbg.model.timeline.position import Position
from rrdbg.render.text import render
from rrdbg.store.history import history
from tests.cli.conftest import bare_metal
from tests.conftest import GUEST_DIR
from tests.guests.build import build, symbol
from tests.oracle import Oracle, observe
from tests.shell.conftest import Opened

STEPS = 60


@pytest.fixture(scope="module")
def racy() -> Path:
    return build("check_use", GUEST_DIR, "ROUNDS=2", "GAP=2000")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, racy: Path) -> tuple[Path, Path]:
    """Two recordings of one guest, which works for as long as its clock says: idle time ends earlier in one of them."""
    root = tmp_path_factory.mktemp("pair")
    guest = Guest(bare_metal(racy), ("PANIC", "done"), 30.0)

    async def make(name: str, perturbation: Perturbation) -> Path:
        return (await attempt(guest, perturbation, root / name)).directory

    return asyncio.run(make("jumps", Perturbation(idle="jump"))), asyncio.run(make("waits", Perturbation()))


async def test_it_goes_to_where_single_steps_say_that_they_part(
    opened: Opened, pair: tuple[Path, Path], racy: Path
) -> None:
    async with opened(pair[0]) as user:
        results = await user.results(f"compare {pair[1]}")
        beside, parting, stopped = results
        assert isinstance(parting, WaysPart)
        assert isinstance(stopped, Stopped)
        before = parting.before[0].position
        assert user.position == before == parting.before[1].position == stopped.stop.position
    ways = [await observe(path, before.icount - STEPS // 2, STEPS) for path in pair]
    steps = list(zip(*([(entry.position, entry.pc) for entry in way.entries] for way in ways), strict=True))
    first = next(at for at, (ours, theirs) in enumerate(steps) if ours != theirs)
    assert steps[first - 1][0][0] == steps[first - 1][1][0] == before
    assert [sight.position for sight in parting.after] == [position for position, _ in steps[first]]
    work = symbol(racy, "work")
    for sight, way in zip(parting.before, ways, strict=True):
        assert work.address <= pc_at(way, sight.position) < work.address + work.size
        assert sight.place == f"work+{pc_at(way, sight.position) - work.address}"
    check_events(beside, pair)
    check_text("\n".join(map(render, results)).splitlines())


def pc_at(way: Oracle, position: Position) -> int:
    return way[way.index(position)].pc


def check_events(beside: Result, pair: tuple[Path, Path]) -> None:
    """The logs say which events are alike, and what comes next."""
    assert isinstance(beside, Beside)
    logs = [[event.position for event in history(path / "replay.bin", NOTABLE)] for path in pair]
    alike = next(at for at, (ours, theirs) in enumerate(zip(*logs, strict=False)) if ours != theirs)
    assert beside.alike == alike
    rows = [row for row in beside.rows if row.first and row.second]
    assert [row.alike for row in rows[:4]] == [True] * 3 + [False]
    for at, row in enumerate(rows, alike - 3):
        assert row.first
        assert row.second
        assert [row.first.position, row.second.position] == [log[at] for log in logs]


def check_text(lines: list[str]) -> None:
    assert [line.split()[0] for line in lines[:2]] == ["copy", "waits"]
    strips = [line.split()[1] for line in lines[:2]]
    assert strips[0].index("x") == strips[1].index("x")
    assert set("".join(strips)) <= {"=", "x", "-"}
    assert "events from outside come at the same places in both." in lines[2]
    assert [line.split()[0] for line in lines[4:8]] == ["alike", "alike", "alike", "differ"]
    assert any(line.startswith("They go the same way up to") for line in lines)
    assert sum("work+" in line for line in lines) >= 2


async def test_a_copy_does_not_part(opened: Opened, pair: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(pair[0], tmp_path / "beside")
    async with opened(pair[0], at="1,000", gdb=False) as user:
        # By its name alone, as it lies beside.
        beside, message = await user.results("compare beside")
        assert isinstance(beside, Beside)
        assert any(row.first and row.first.place.startswith("0x") for row in beside.rows)
        told = "\n".join(map(render, (beside, message)))
        assert "come at the same places in both, and no other." in told
        assert "No step is found with which they begin to go different ways." in told
        assert user.position == Position(1000)


async def test_what_cannot_be_compared(
    opened: Opened, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RRDBG_DIR", str(tmp_path / "library"))
    async with opened(pair[0], at="start", gdb=False) as user:
        assert "needs another recording" in await user.refused("compare")
        assert "There is no recording moon" in await user.refused("compare moon")
        assert "is this recording itself" in await user.refused("compare copy")


async def test_ctrl_c_leaves_the_cursor(
    opened: Opened, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(pair[0], at="1,000", gdb=False) as user:
        # While it looks for where they part.
        monkeypatch.setattr(user.noted, "show", lambda result: user.shell.runner.interrupt())
        assert "back at 1,000" in await user.refused(f"compare {pair[1]}")
        assert user.position == Position(1000)
