"""Time of what GDB asks the server for: steps back, runs back, false conditions.

python -m benchmarks.server RECORDING [--at POSITION] [--hot ADDRESS] [--keep FILE]

The recording is copied first. The client is a bare one, over a unix socket: GDB's own time is not in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Series, keep
from rrdbg.engine.replay import Replay
from rrdbg.frontends.server.connection import Server
from rrdbg.links.machine import Machine
from rrdbg.links.rsp import RspClient
from rrdbg.model.position import START, parse_position
from rrdbg.model.stop import Breakpoint

_STEPS = 100
_RUNS = 10
_FALSE = 10_000


async def main() -> int:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--at", metavar="POSITION", default="50%", help="where to start from (default: 50%%)")
    parser.add_argument("--hot", metavar="ADDRESS", type=lambda text: int(text, 0), help="an address that is hit often")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add the figures to this JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rrdbg-bench-") as folder:
        copy = Path(shutil.copytree(arguments.recording, Path(folder) / "recording"))
        async with await Replay.open(copy) as replay:
            server = Server(replay)
            await server.listen(f"unix:{folder}/socket")
            try:
                figures = await measure(replay, server.address, arguments.at, arguments.hot)
            finally:
                await server.close()
    for name, value in figures.items():
        print(f"{name:<22} {value if isinstance(value, Series) else f'{value:8.4f} s'}")
    if arguments.keep:
        keep(arguments.keep, "server", figures)
    return 0


async def measure(replay: Replay, address: str, at: str, hot: int | None) -> dict[str, Series | float]:
    """The figures of one recording."""
    start = parse_position(at, here=START, end=replay.timeline.end)
    client = RspClient(*await asyncio.open_unix_connection(address))
    try:
        await replay.seek(start)
        place = hot or await replay.pc()
        first = await timed(client, "bs")
        steps = [await timed(client, "bs") for _ in range(_STEPS)]
        await client.exchange(f"Z1,{place:x},1")
        runs = [await timed(client, "bc") for _ in range(_RUNS)]
    finally:
        await client.close()
    await replay.seek(start)
    made = 0

    async def false_for_long(machine: Machine, point: Breakpoint) -> bool:
        nonlocal made
        made += 1
        await machine.registers()
        return made > _FALSE

    began = time.monotonic()
    await replay.reverse_cont([Breakpoint(-1, place)], false_for_long)
    each = (time.monotonic() - began) / made
    return {
        "first bs": first, f"{_STEPS} more bs": Series.of(steps), f"{_RUNS} bc to a near hit": Series.of(runs),
        f"one of {made} false hits": each,
    }  # fmt: skip


async def timed(client: RspClient, packet: str) -> float:
    """Seconds until the answer to a packet that moves the guest."""
    began = time.monotonic()
    client.resume(packet)
    await client.stopped()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
