"""What conditions cost that are false nearly always: python -m benchmarks.conditions RECORDING ADDRESS...

For each instruction at an ADDRESS (hexadecimal), in the stretch --from --to: a replay of the stretch by a machine with
the plugin that looks for nothing; then the same condition, false at each hit, searched for forward and backward; and
last all hits counted. With ``--watch BYTES`` writes to each ADDRESS that change something are searched for instead.
Seconds of the clock, and of processor time of all QEMUs, which is right on a busy machine, too. ``--off`` asks for the
same without the accelerator, where each hit takes a millisecond and more. The recording's hits.json is deleted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rrdbg.engine.queries.evaluate import Judge
from rrdbg.engine.queries.occurrences import count
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.accelerator import SETTING
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint, Point, Watchpoint
from rrdbg.model.program.agent import Expression
from rrdbg.model.timeline.position import Position, parse_count

_NEVER = 0x5A5A_5A5A_5A5A_5A5A

Work = Callable[[Replay, Point, Judge | None, Position, Position], Awaitable[object]]


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conditions")
    parser.add_argument("recording", type=Path)
    parser.add_argument("addresses", nargs="+", metavar="ADDRESS")
    parser.add_argument("--from", dest="start", type=parse_count, default=0, metavar="ICOUNT")
    parser.add_argument("--to", dest="end", type=parse_count, metavar="ICOUNT")
    parser.add_argument("--register", type=int, default=5, help="number of the register that is compared (5: rdi)")
    parser.add_argument("--memory", action="store_true", help="compare the eight bytes that it points to")
    parser.add_argument("--watch", type=int, default=0, metavar="BYTES", help="search for writes instead")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--off", action="store_true", help="also without the accelerator")
    arguments = parser.parse_args()
    code = never(arguments.register, memory=arguments.memory)
    for text in arguments.addresses:
        address = int(text, 16)
        point: Point = Watchpoint(-1, address, arguments.watch) if arguments.watch else Breakpoint(-1, address)
        judge = None if arguments.watch else Judge({address: Condition((code,), unclear=False)})
        for _ in range(arguments.runs):
            for setting in ("on", "off") if arguments.off else ("on",):
                os.environ[SETTING] = setting
                for name, work in _WORKS.items():
                    if (work is _count and arguments.watch) or (work is _plain and setting == "off"):
                        continue
                    await _timed(arguments.recording, f"{text} {setting:3} {name}", work, point, judge, arguments)
    return 0


def never(register: int, *, memory: bool) -> Expression:
    """A register, or what it points to, compared with what it never is."""
    load = b"\x26" + register.to_bytes(2, "big") + (b"\x1a" if memory else b"")
    return Expression(load + b"\x25" + _NEVER.to_bytes(8, "big") + b"\x13\x27")


async def _plain(replay: Replay, point: Point, judge: Judge | None, start: Position, end: Position) -> object:
    survey = await replay.accelerator.survey(replay.timeline, start.icount, [])
    assert survey is not None, "this QEMU takes no plugin"
    try:
        await survey.arrive(end)
    finally:
        await survey.close()
    return "counting instructions alone"


async def _forward(replay: Replay, point: Point, judge: Judge | None, start: Position, end: Position) -> object:
    return len([hit async for hit in replay.scan([point], start, end, judge)])


async def _backward(replay: Replay, point: Point, judge: Judge | None, start: Position, end: Position) -> object:
    return await replay.last_before(end, [point], judge)


async def _count(replay: Replay, point: Point, judge: Judge | None, start: Position, end: Position) -> object:
    assert isinstance(point, Breakpoint), "writes are not counted alone"
    return (await count(replay, [point], start, end)).count


_WORKS: dict[str, Work] = {
    "plain": _plain, "forward": _forward, "backward, to the start": _backward, "hits in all": _count,
}  # fmt: skip


async def _timed(
    path: Path, name: str, work: Work, point: Point, judge: Judge | None, arguments: argparse.Namespace
) -> None:
    (path / "hits.json").unlink(missing_ok=True)
    used = _processor_seconds()
    async with await Replay.open(path) as replay:
        plain = replay.timeline.deliveries.plain_at_or_before
        last = min(arguments.end or replay.timeline.end.icount, replay.timeline.end.icount)
        start, end = Position(plain(arguments.start)), Position(plain(last))
        await replay.accelerator.info()
        await replay.seek(start)
        began = time.monotonic()
        result = await work(replay, point, judge, start, end)
        seconds = time.monotonic() - began
        passes = (await replay.accelerator.info()).passes
    print(
        f"{name:34} {seconds:7.2f} s, processors {_processor_seconds() - used:7.2f} s, {passes} passes, {result}",
        flush=True,
    )


def _processor_seconds() -> float:
    """User and system time of all processes of ours that have ended."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
