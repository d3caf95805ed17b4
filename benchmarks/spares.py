"""What spare machines save: the first step back, a jump back by a little, and jumps anywhere.

python -m benchmarks.spares RECORDING [--places 20]

Without spares and with them in turn, at the same places in the same order, in an indexed copy of the recording. Before
each movement that is timed the user thinks: until the spares are there, or for as long where there are none.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks.figures import Series
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.indexer import index
from rrdbg.engine.window import Window
from rrdbg.frontends.shared.options import SPARES
from rrdbg.model.timeline.position import Position

Movement = Callable[[Replay], Awaitable[object]]


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spares")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--places", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rrdbg-bench-") as folder:
        copy = Path(shutil.copytree(arguments.recording, Path(folder) / "copy"))
        await index(copy, prove=False)
        for count in (0, SPARES):
            async with await Replay.open(copy, spares=count) as replay:
                chosen = random.Random(arguments.seed)
                places = [_anywhere(replay, chosen) for _ in range(arguments.places)]
                for name, movement in _movements(random.Random(arguments.seed + 1)).items():
                    title = f"{name}, {count or 'no'} spares"
                    print(f"{title:<34} {Series.of(await timed(replay, places, movement))}", flush=True)
    return 0


def _movements(chosen: random.Random) -> dict[str, Movement]:
    async def step_back(replay: Replay) -> None:
        await Window(replay).step_back()

    async def short_jump(replay: Replay) -> None:
        back = max(replay.position.icount - 1_000_000, 0)
        await replay.seek(Position(replay.timeline.deliveries.plain_at_or_before(back)))

    async def jump(replay: Replay) -> None:
        await replay.seek(_anywhere(replay, chosen))

    return {"first step back": step_back, "jump back by 1e6": short_jump, "jump anywhere": jump}


def _anywhere(replay: Replay, chosen: random.Random) -> Position:
    icount = chosen.randrange(replay.timeline.end.icount)
    return Position(replay.timeline.deliveries.plain_at_or_before(icount))


async def timed(replay: Replay, places: Sequence[Position], movement: Movement) -> list[float]:
    """Seconds of ``movement`` at each place, after the user has come there and thought."""
    seconds = []
    for place in places:
        await replay.seek(place)
        await replay.spares_ready()
        began = time.monotonic()
        await movement(replay)
        seconds.append(time.monotonic() - began)
    return seconds


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
