"""A replay that may be changed, in the event loop of a test that is no coroutine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind, Watchpoint
from rrdbg.model.program.moves import MemoryPlace
from rrdbg.model.timeline.position import Position
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import symbol
from tests.guests.foreign import SOURCES, ForeignGuest, build_foreign

T = TypeVar("T")
SNAPSHOTS = 8

Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture
def run() -> Iterator[Run[Any]]:
    """Run coroutines one after another in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def replay(workload: Path, tmp_path: Path, run: Run[Any]) -> Iterator[Replay]:
    """A replay of a copy of workload's recording."""
    copy = Path(shutil.copytree(workload, tmp_path / "workload"))
    opened = run(Replay.open(copy))
    yield opened
    run(opened.close())


@pytest.fixture(scope="package")
def dense(workload: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of workload's recording with many snapshots; tests do not change it."""
    copy = Path(shutil.copytree(workload, tmp_path_factory.mktemp("parallel") / "workload"))

    async def lay() -> None:
        async with await Replay.open(copy) as replay:
            end = replay.timeline.end.icount
            for number in range(1, SNAPSHOTS):
                await replay.seek(Position(replay.timeline.deliveries.plain_at_or_before(end * number // SNAPSHOTS)))
                await replay.snapshot()

    asyncio.run(lay())
    return copy


@pytest.fixture
def serial(dense: Path, tmp_path: Path, run: Run[Any]) -> Iterator[Replay]:
    """A replay that searches by itself."""
    opened = run(Replay.open(Path(shutil.copytree(dense, tmp_path / "serial"))))
    yield opened
    run(opened.close())


@pytest.fixture
def points(workload_guest: Path) -> list[Point]:
    """Breakpoints with some hits all over the recording, and watchpoints of each kind."""
    ring, invalid, calls, ticks = (
        symbol(workload_guest, name).address for name in ("ring", "invalid_opcodes", "system_calls", "ticks")
    )
    return [
        Breakpoint(1, symbol(workload_guest, "on_timer").address),
        Breakpoint(2, symbol(workload_guest, "on_invalid_opcode").address),
        Watchpoint(3, ring + 24, 8),
        Watchpoint(4, invalid, 8, WatchKind.READ),
        Watchpoint(5, calls, 8, WatchKind.ACCESS),
        Watchpoint(6, ticks, 8),
    ]


@pytest.fixture
def copied(dense: Path, tmp_path: Path) -> Path:
    """A copy of that recording."""
    return Path(shutil.copytree(dense, tmp_path / "copied"))


@dataclass(frozen=True)
class Elsewhere:
    """A program that copies values on another architecture, its recording, and how long its words are."""

    about: ForeignGuest
    root: Path
    word: int
    slot: int
    """How far from the top of the stack the value is that goes over it."""

    def place(self, name: str, offset: int = 0, size: int = 0) -> MemoryPlace:
        return MemoryPlace(symbol(self.about.elf, name).address + offset, size or self.word)


@pytest.fixture(scope="package", params=["aarch64", "arm", "riscv64"])
def elsewhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """The recording of an architecture's program; not to be changed."""
    with failing_clearly(request.param):
        about = build_foreign(request.param, GUEST_DIR, SOURCES / "copies")
    root = tmp_path_factory.mktemp("recordings") / request.param
    asyncio.run(Recorder(RecordRequest(about.command, root)).run())
    return Elsewhere(about, root, *((4, 8) if request.param == "arm" else (8, 16)))
