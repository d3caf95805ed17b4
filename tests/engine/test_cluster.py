"""The same searches on a Dask cluster of two worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from rrdbg.engine.replay import Replay
from rrdbg.engine.search.parallel.cluster import ClusterExecutor
from rrdbg.errors import Interrupted, LinkError
from rrdbg.model.hits.stop import Breakpoint, Point
from rrdbg.model.timeline.position import START
from rrdbg.model.travel import segments
from tests.engine.conftest import Run
from tests.engine.test_parallel import found
from tests.oracle import Oracle
from tests.processes import qemus_in


@asynccontextmanager
async def replay_on_cluster(recording: Path) -> AsyncIterator[Replay]:
    """A replay whose long searches are done by two worker processes."""
    async with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", asynchronous=True
        ) as cluster,
        await Replay.open(recording, executor=await ClusterExecutor.connect(cluster.scheduler_address)) as replay,
    ):
        yield replay


def test_a_cluster_finds_what_a_single_pass_finds(
    run: Run[Any], serial: Replay, copied: Path, points: list[Point], busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "LEAST_SECONDS", 0.0)

    async def check() -> None:
        async with replay_on_cluster(copied) as replay:
            end = replay.timeline.end
            assert len(segments.split(replay.timeline, START, end, 2)) > 2
            some = [points[0], points[2]]
            expected = await found(serial, some, START, end)
            assert await found(replay, some, START, end) == expected
            assert await replay.last_before(end, points[:1]) == await serial.last_before(end, points[:1])
            assert await replay.last_before(end, [Breakpoint(9, 0xDEAD_0000)]) is None
            # Ctrl-C:
            await replay.seek(busy[100].position)
            busily = asyncio.create_task(found(replay, [Breakpoint(9, busy[1500].pc)], START, end))
            while len(qemus_in(copied)) < 2:
                await asyncio.wait((busily,), timeout=0.05)
            busily.cancel()
            with pytest.raises(Interrupted):
                await busily
            assert len(qemus_in(copied)) == 1, "the cursor's"
            assert replay.position == busy[100].position

    run(check())


def test_no_cluster_says_so(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrdbg.engine.search.parallel.cluster.CONNECT_SECONDS", 0.2)
    with pytest.raises(LinkError, match="no Dask scheduler at tcp://127"):
        run(ClusterExecutor.connect("tcp://127.0.0.1:9"))
