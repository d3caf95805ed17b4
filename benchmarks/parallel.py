"""What several workers save in long searches: one process and several, in turn.

python -m benchmarks.parallel RECORDING ADDRESS [--jobs N] [--runs 3]

In an indexed copy of the recording: every hit of a breakpoint at ADDRESS, every change of the eight bytes there, and a
search backwards that finds nothing. Workers are started before anything is timed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from statistics import median

from rrdbg.engine.replay import Replay
from rrdbg.engine.search.parallel.local import LocalExecutor
from rrdbg.engine.snapshots.indexer import index
from rrdbg.frontends.shared.options import processors
from rrdbg.model.hits.stop import Breakpoint, Point, Watchpoint
from rrdbg.model.timeline.position import START

_NOWHERE = 0xDEAD_0000

Search = Callable[[Replay, Point], Awaitable[None]]
"""Searches also for a point that nobody has looked for before, so that the hit index does not know the answer."""


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parallel")
    parser.add_argument("recording", type=Path)
    parser.add_argument("address", type=lambda text: int(text, 0), help="such as a function's")
    parser.add_argument("--jobs", type=int, default=processors())
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    searches = _searches(arguments.address)
    with tempfile.TemporaryDirectory(prefix="rrdbg-bench-") as folder:
        copies = [Path(shutil.copytree(arguments.recording, Path(folder) / "0"))]
        await index(copies[0], prove=False)
        copies.append(Path(shutil.copytree(copies[0], Path(folder) / "1")))
        async with (
            await Replay.open(copies[0]) as alone,
            await Replay.open(copies[1], executor=LocalExecutor(arguments.jobs)) as together,
        ):
            await together.last_before(together.timeline.end, [Breakpoint(-1, _NOWHERE)])
            runs = itertools.count(1)
            for name, search in searches.items():
                pairs = []
                for _ in range(arguments.runs):
                    new = Breakpoint(-2, _NOWHERE + next(runs))
                    pairs.append((await _seconds(search(alone, new)), await _seconds(search(together, new))))
                one, many = (median(seconds) for seconds in zip(*pairs, strict=True))
                ratio = median(first / second for first, second in pairs)
                print(
                    f"{name:<24} alone {one:7.2f} s   {arguments.jobs} jobs {many:7.2f} s   {ratio:5.2f} times as fast"
                )
    return 0


def _searches(address: int) -> dict[str, Search]:
    async def hits(replay: Replay, new: Point) -> None:
        await _scan(replay, [Breakpoint(-1, address), new])

    async def writes(replay: Replay, new: Point) -> None:
        await _scan(replay, [Watchpoint(-1, address, 8), new])

    async def backwards(replay: Replay, new: Point) -> None:
        await replay.last_before(replay.timeline.end, [new])

    return {"hits of the breakpoint": hits, "writes that change it": writes, "backwards without a hit": backwards}


async def _scan(replay: Replay, points: Sequence[Point]) -> None:
    async with aclosing(replay.scan(points, START, replay.timeline.end)) as hits:
        async for _ in hits:
            pass


async def _seconds(search: Awaitable[None]) -> float:
    began = time.monotonic()
    await search
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
