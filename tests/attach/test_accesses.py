"""Watchpoints in one QEMU that must not be broken: deliveries, and accesses just before a run's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.model.hits.stop import StopReason, WatchKind, Watchpoint
from rrdbg.model.timeline.deliveries import Delivery
from tests.attach.conftest import Qemu
from tests.engine.conftest import Run
from tests.engine.test_accesses import frames
from tests.engine.test_oracle import is_at
from tests.oracle import Oracle, observe


@pytest.mark.parametrize("kind", list(Delivery))
@pytest.mark.parametrize("watch", [pytest.param(WatchKind.WRITE, marks=pytest.mark.matrix), WatchKind.ACCESS])
def test_a_delivery_that_touches_a_watchpoint_breaks_nothing(
    run: Run[Any],
    replay: Replay,
    qemu: Qemu,
    workload: Path,
    kind: Delivery,
    watch: WatchKind,
    request: pytest.FixtureRequest,
) -> None:
    """Where a QEMU of ours would be lost and replaced, and the search repeated; the user's can be neither."""
    stretch = request.getfixturevalue("busy" if kind is Delivery.INTERRUPT else "exceptional")

    async def check() -> None:
        index, slot = frames(stretch, await replay.machine(), kind)[0]
        known = await observe(workload, stretch[0].position.icount, len(stretch) - 1, {slot: 8})
        replay.points.add_watchpoint(slot, 8, watch)
        changes = [i for i in known.changes(slot) if i < index]
        await replay.seek(known[index].position)
        stop = await replay.reverse_cont()
        if watch is WatchKind.WRITE:
            await is_at(replay, known, changes[-1], stop)
        else:
            assert stop.position >= known[changes[-1]].position, "an access may come after the last change"
        await replay.seek(known[index].position)
        await replay.cont()
        replay.points.delete()
        await is_at(replay, known, index, await replay.seek(known[index].position))
        assert qemu.process.poll() is None

    run(check())


def test_reads_one_by_one(run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]) -> None:
    """``rwatch`` finds what stepping over it with QEMU's watchpoint set finds, both ways."""
    counter = next(iter(watched))
    point = Watchpoint(99, counter, 8, WatchKind.READ)

    async def check() -> None:
        reads = []
        first = next(index for index in busy.changes(counter) if index >= 100) - 100
        await replay.seek(busy[first].position)
        for index in range(first, first + 200):
            step = await replay.step_watching([point])
            if step.reason is StopReason.WATCHPOINT:
                reads.append(index)
        assert len(reads) > 2
        replay.points.add_watchpoint(counter, 8, WatchKind.READ)
        for index in reversed(reads):
            # From just after it: the read is the last instruction of the run, and may go unreported by QEMU.
            await replay.seek(busy[index + 1].position)
            await is_at(replay, busy, index, await replay.reverse_cont())
        for index in reads:
            await is_at(replay, busy, index + 1, await replay.cont())

    run(check())
