"""Steps over ``pause``, which QEMU's own single step makes together with the next instruction."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.engine.window import Window
from rrdbg.model.timeline.position import Position
from tests.conftest import GUEST_DIR, failing_clearly, record
from tests.engine.conftest import Run
from tests.forward import from_start
from tests.guests.build import build

STEPS = 400


@pytest.fixture(scope="module")
def spinning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a guest that waits in a loop with ``pause``; not to be changed."""
    with failing_clearly("spinning"):
        return record(build("spinning", GUEST_DIR), tmp_path_factory.mktemp("spinning") / "spinning")


async def run_to_each(root: Path, first: int, last: int) -> dict[Position, bytes]:
    """The registers at each plain icount, where a machine is run to that single-steps nowhere."""
    found = {}
    async with from_start(root) as walker:
        for icount in range(first, last):
            if walker.timeline.deliveries.is_plain(icount):
                await walker.run_to(icount)
                found[Position(icount)] = await walker.machine.register_packet()
    return found


def test_every_instruction_is_a_step(spinning: Path, tmp_path: Path, run: Run[Any]) -> None:
    async def check() -> None:
        copy = shutil.copytree(spinning, tmp_path / "spinning")
        async with await Replay.open(copy) as replay:
            interrupts = replay.timeline.deliveries.icounts
            middle = interrupts[len(interrupts) // 2]
            first = replay.timeline.deliveries.plain_at_or_before(middle - STEPS // 2)
            truth = await run_to_each(spinning, first, first + STEPS)
            assert len(truth) > STEPS // 2
            window = Window(replay)
            await replay.seek(Position(first))
            seen = {}
            while replay.position.icount < first + STEPS - 1:
                seen[replay.position] = await window.register_packet()
                await window.step()
            assert any(position.phase for position in seen), "an interrupt is among them"
            assert {position: packet for position, packet in seen.items() if position in truth} == {
                position: packet for position, packet in truth.items() if position < replay.position
            }
            places = [*seen, replay.position]
            for place in reversed(places[:-1]):
                await window.step_back()
                assert replay.position == place
                assert await window.register_packet() == seen[place]

    run(check())
