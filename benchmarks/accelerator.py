"""What the accelerator's plugin changes, costs, and finds: python -m benchmarks.accelerator RECORDING POINT...

A POINT is an address in hexadecimal, for executions, or ADDRESS:watch, :rwatch or :awatch for accesses to the eight
bytes there. First the recording is replayed to its end without and with the plugin, in turns: the guest must be in the
same state then. Then the plugin's hits in the stretch --from to --to are compared with those where the gdbstub stops.
Last, in the same stretch, what commands take with the accelerator and without it: finding the last hit, and for
executions counting them and going to the middle one. The recording's hits.json is deleted, so that nothing is known.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rrdbg.engine.machines.digest import state_digest
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.queries import occurrences
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.accelerator import SETTING
from rrdbg.engine.search.survey import Survey
from rrdbg.links.plugin import Plugin, find_plugin
from rrdbg.model.hits.stop import Breakpoint, Point, WatchKind, Watchpoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position, parse_count
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline

_LENGTH = 8


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator")
    parser.add_argument("recording", type=Path)
    parser.add_argument("points", nargs="*", metavar="POINT")
    parser.add_argument("--from", dest="start", type=parse_count, default=0, metavar="ICOUNT")
    parser.add_argument("--to", dest="end", type=parse_count, metavar="ICOUNT")
    parser.add_argument("--runs", type=int, default=3, help="replays to the end, each with and without the plugin")
    arguments = parser.parse_args()
    points = [_point(number, text) for number, text in enumerate(arguments.points, 1)]
    with Recording.open(arguments.recording) as recording:
        timeline = load_timeline(recording)
        launcher = await Launcher.create(recording)
        try:
            plugin = await find_plugin(launcher.qemu)
            await whole_replays(launcher, plugin, timeline, points, arguments.runs)
        finally:
            await launcher.close()
    plain = timeline.deliveries.plain_at_or_before
    last = min(arguments.end or timeline.end.icount, timeline.end.icount)
    start, end = Position(plain(arguments.start)), Position(plain(last))
    for point in points:
        count = await compare(arguments.recording, point, start, end)
        for _ in range(arguments.runs):
            for setting in ("off", "on"):
                await use(arguments.recording, point, start, end, count, setting)
    return 0


def _point(number: int, text: str) -> Point:
    address, colon, kind = text.partition(":")
    if not colon:
        return Breakpoint(-number, int(address, 16))
    return Watchpoint(-number, int(address, 16), _LENGTH, WatchKind(kind))


async def whole_replays(launcher: Launcher, plugin: Plugin, timeline: Timeline, points: list[Point], runs: int) -> None:
    """Replay to the last plain icount in three ways: without the plugin, with it, and with it looking for points."""
    end = Position(timeline.deliveries.plain_at_or_before(timeline.end.icount))
    for run in range(runs):
        walker, _ = await launcher.start(timeline.snapshots[0], timeline)
        await _timed(f"{run + 1}: without", walker, end)
        ways: dict[str, list[Point]] = {"counting": [], "looking for points": points}
        for name, wanted in ways.items():
            survey = await Survey.start(launcher, plugin, timeline, 0, wanted)
            await _timed(f"{run + 1}: {name}", survey.walker, end, survey)


async def _timed(name: str, walker: Walker, end: Position, survey: Survey | None = None) -> None:
    try:
        began = time.monotonic()
        await walker.arrive(end)
        seconds, cpu = time.monotonic() - began, _processor_seconds(walker.machine.process.pid)
        digest = await state_digest(walker.machine)
        text = f"{name:24} {seconds:6.2f} s, {cpu:6.2f} s of processor time, state {digest[:12]}"
        if survey:
            text += f", {survey.tally().hits:,} hits"
        print(text, flush=True)
    finally:
        await walker.machine.close()


def _processor_seconds(pid: int) -> float:
    """User and system time of a process so far, its start included; see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def compare(path: Path, point: Point, start: Position, end: Position) -> int:
    """Find the hits of ``point`` from ``start`` to ``end`` by the plugin and by the stub; how many there are."""
    async with await _opened(path) as replay:
        began = time.monotonic()
        survey = await replay.accelerator.survey(replay.timeline, start.icount, [point])
        if survey is None:
            raise SystemExit((await replay.accelerator.info()).text)
        try:
            await survey.arrive(start)
            before = survey.tally().hits
            await survey.arrive(end)
            tally = survey.tally()
        finally:
            await survey.close()
        middle = time.monotonic()
        hits = [hit async for hit in replay.scan([point], start, end)]
        done = time.monotonic()
    count = tally.hits - before
    places = [survey.place(sighting.executed) for sighting in tally.latest[-count:]] if count else []
    found = list(zip(places, hits[-len(places) :] if places else [], strict=False))
    inside = sum(place.low <= hit.position.icount <= place.high for place, hit in found)
    off = max((abs(place.high - hit.position.icount) for place, hit in found), default=0)
    print(
        f"{point}: plugin {count:,} hits in {middle - began:.2f} s, stub {len(hits):,} in {done - middle:.2f} s; "
        f"of {len(found):,} the place is right for {inside:,}, the count off by {off:,} at most",
        flush=True,
    )
    return len(hits)


async def use(path: Path, point: Point, start: Position, end: Position, count: int, setting: str) -> None:
    """Time commands with the accelerator ``on`` or ``off``, each with nothing known but the snapshots."""
    os.environ[SETTING] = setting
    works: dict[str, Callable[[Replay], Awaitable[object]]] = {
        "last hit": lambda replay: replay.last_before(end, [point])
    }
    if isinstance(point, Breakpoint):
        works["count"] = lambda replay: occurrences.count(replay, [point], start, end)
        works["middle one"] = lambda replay: occurrences.nth(replay, [point], count // 2, start, end)
    for name, work in works.items():
        async with await _opened(path) as replay:
            await replay.seek(end)
            await replay.accelerator.info()
            began = time.monotonic()
            await work(replay)
            seconds = time.monotonic() - began
            passes = (await replay.accelerator.info()).passes
        print(f"{point}: accelerator {setting:3}, {name:10} {seconds:7.2f} s, {passes} passes", flush=True)


async def _opened(path: Path) -> Replay:
    """The recording, of whose hits nothing is known."""
    (path / "hits.json").unlink(missing_ok=True)
    return await Replay.open(path)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
