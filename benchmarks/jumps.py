"""Time of jumps to random positions: with one snapshot, with the keeper's, and by QEMU's own replay-seek.

python -m benchmarks.jumps RECORDING [--jumps 100] [--keep FILE]

The recording is copied first; every way goes to the same positions in the same order. QEMU's own way gets the keeper's
snapshots too: saved inside one image, as QEMU wants them, at the same icounts.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Series, keep
from rrdbg.engine.indexer import Indexed, index
from rrdbg.engine.replay import Replay
from rrdbg.errors import LinkError
from rrdbg.links.images import plain_qcow2
from rrdbg.links.machine import Machine
from rrdbg.links.process import find_qemu
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.links.words import Images, replay_words
from rrdbg.model.position import Position
from rrdbg.model.timeline import Timeline
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline

_NODE = "rrdbg-vmstate-file"
_SEEK_SECONDS = 120.0
_POLL_SECONDS = 0.002


async def main() -> int:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jumps")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--jumps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add the figures to this JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rrdbg-bench-") as folder:
        one = Path(shutil.copytree(arguments.recording, Path(folder) / "one"))
        for file in (one / "snapshots").glob("[0-9]*.qcow2"):
            file.unlink()
        (one / "timeline.json").unlink(missing_ok=True)
        many = Path(shutil.copytree(one, Path(folder) / "many"))
        with Recording.open(one) as recording:
            places = positions(load_timeline(recording), arguments.jumps, arguments.seed)

        plain = await plain_replay(one)
        unproved = await index(Path(shutil.copytree(one, Path(folder) / "unproved")), prove=False)
        shutil.rmtree(Path(folder) / "unproved")
        indexed = await index(many)
        figures: dict[str, object] = {
            "plain_replay_seconds": plain,
            "index_seconds_without_proofs": unproved.seconds,
            "index_seconds": indexed.seconds,
            "snapshots": indexed.snapshots,
            "bytes": indexed.size,
        }
        tell_of_index(plain, unproved, indexed)
        figures["one_snapshot"] = show("one snapshot", await jumps(one, places[: max(len(places) // 5, 2)], fixed=True))
        figures["keeper"] = show("keeper's snapshots", await jumps(many, places))
        figures["native"] = show("QEMU's replay-seek", await native_jumps(many, places))
    if arguments.keep:
        keep(arguments.keep, "jumps", figures)
    return 0


def positions(timeline: Timeline, count: int, seed: int) -> list[Position]:
    """Random places, which are plain, so that QEMU can be told of them."""
    chosen = random.Random(seed)
    places = (chosen.randrange(timeline.end.icount) for _ in range(count))
    return [Position(timeline.deliveries.plain_at_or_before(place)) for place in places]


def tell_of_index(plain: float, unproved: Indexed, indexed: Indexed) -> None:
    """Print what an index pass costs."""
    print(f"plain replay         {plain:6.1f} s")
    print(f"index, no proofs     {unproved.seconds:6.1f} s ({unproved.seconds / plain:.1f} times a plain replay)")
    print(f"index, with proofs   {indexed.seconds:6.1f} s ({indexed.seconds / plain:.1f} times a plain replay)")
    print(f"{indexed.snapshots} snapshots, {indexed.proved} proved, {indexed.size / 1e9:.2f} GB")


def show(name: str, seconds: Sequence[float]) -> Series:
    """Print a series."""
    series = Series.of(seconds)
    print(f"{name:<20} {series}", flush=True)
    return series


async def plain_replay(path: Path) -> float:
    """Seconds of a replay from start to end, without any stop between."""
    with Recording.open(path) as recording, tempfile.TemporaryDirectory() as folder:
        machine = await native(recording, Path(folder))
        try:
            began = time.monotonic()
            await machine.run_to(load_timeline(recording).end.icount)
            return time.monotonic() - began
        finally:
            await machine.close()


async def jumps(path: Path, places: Sequence[Position], *, fixed: bool = False) -> list[float]:
    """Seconds of each jump; ``fixed`` forbids to lay snapshots on the way."""
    seconds = []
    async with await Replay.open(path, spacing=1e9 if fixed else 0.35) as replay:
        for place in places:
            began = time.monotonic()
            await replay.seek(place)
            seconds.append(time.monotonic() - began)
    return seconds


async def native(recording: Recording, folder: Path) -> Machine:
    """A QEMU with an image of its own, in which all snapshots are."""
    invocation = recording.manifest.invocation
    if invocation.disks:
        raise SystemExit("This benchmark is for guests without disks.")
    image = Path(shutil.copyfile(recording.layout.initial, folder / "native.qcow2"))
    work = folder / "work"
    work.mkdir()
    return await Machine.start(
        lambda fd: replay_words(
            find_qemu(invocation.binary), invocation, Images(plain_qcow2(_NODE, image), []),
            recording.layout.bundled, log=recording.layout.log, tag=recording.manifest.initial_tag, gdb_fd=fd,
        ),
        work,
    )  # fmt: skip


async def native_jumps(path: Path, places: Sequence[Position]) -> list[float]:
    """Seconds of each jump by QMP's replay-seek, which is asynchronous; an end of QEMU ends the series."""
    seconds = []
    with Recording.open(path) as recording, tempfile.TemporaryDirectory() as folder:
        timeline = load_timeline(recording)
        machine = await native(recording, Path(folder))
        try:
            for snapshot in timeline.snapshots[1:]:
                await machine.run_to(snapshot.icount)
                try:
                    await machine.qmp.save_snapshot(snapshot.tag, _NODE, [_NODE])
                except SnapshotNotNow:
                    print(f"QEMU would not save at {snapshot.icount:,}.", file=sys.stderr)
            for place in places:
                began = time.monotonic()
                await machine.qmp.execute("replay-seek", icount=place.icount)
                async with asyncio.timeout(_SEEK_SECONDS):
                    await until_there(machine, place.icount)
                seconds.append(time.monotonic() - began)
        except (LinkError, TimeoutError) as error:
            print(f"QEMU's replay-seek ended after {len(seconds)} jumps: {error!r}", file=sys.stderr)
        finally:
            await machine.close()
    return seconds


async def until_there(machine: Machine, icount: int) -> None:
    """Wait for a stop at ``icount``; QEMU's STOP event does not tell where, so it is asked."""
    while await machine.qmp.icount() != icount or await machine.qmp.run_state() == "running":  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
