"""Measure whether replaying keeps up with recording, on guests people really record: ``python -m benchmarks.pace``.

Recordings are made in build/bench and used again. Each of the jumps is compared with a forward run: registers and RAM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import Series
from benchmarks.guests import GUESTS
from benchmarks.processes import busy_processors
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.indexer import index
from rrdbg.errors import RrdbgError
from rrdbg.frontends.shared.options import SPARES
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.forward import from_start
from tests.guests.build import GuestError
from tests.guests.real import REAL_GUESTS, record
from tests.matrix.jumps import forward, is_exact, places
from tests.recordings import forget

ROOT = Path(__file__).parents[1]
_SEED = 1


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured on one guest: seconds, bytes, and how many jumps were made and ended elsewhere.

    ``forecast`` is how long the log says, before any replay, that one takes.
    """

    instructions: int
    recording: float
    log: int
    forecast: float
    replay: float
    opening: float
    indexing: float
    snapshots: int
    size: int
    jumps: int
    p50: float
    p95: float
    wrong: int


async def main() -> int:
    """Measure, print and write down."""
    arguments = _arguments()
    version = (await qemu_version(find_qemu("qemu-system-x86_64"))).split()[0]
    load = round(await busy_processors(), 1)
    found: dict[str, Pace] = {}
    for name in arguments.guest or [*REAL_GUESTS, *GUESTS]:
        found[name] = await _measure(await recorded(name, arguments.folder / version), arguments.jumps)
        print(f"{name}: {found[name]}", flush=True)
        content = {"qemu": version, "load": load, "guests": {key: asdict(pace) for key, pace in found.items()}}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
        if arguments.page:
            arguments.page.write_text(page(version, load, found))
    return 1 if any(pace.wrong for pace in found.values()) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pace", description=__doc__)
    names = [*REAL_GUESTS, *GUESTS]
    parser.add_argument("--guest", action="append", choices=names, help="only this guest (may be repeated)")
    parser.add_argument("--jumps", type=int, default=50, help="how many jumps to random places (default: 50)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="where the recordings are")
    parser.add_argument("--json", type=Path, metavar="FILE", default=ROOT / "build" / "bench" / "pace.json")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table, as Markdown")
    return parser.parse_args()


async def recorded(name: str, folder: Path) -> Path:
    """The recording of the guest ``name``, made if there is none."""
    if name in GUESTS:
        return (await GUESTS[name](folder)).recording
    directory = folder / name
    if not directory.exists():
        await record(REAL_GUESTS[name](), directory)
    return directory


async def _measure(recording: Path, jumps: int) -> Pace:
    forget(recording)
    with Recording.open(recording) as opened:
        manifest = opened.manifest
        timeline = load_timeline(opened)
    # Nobody's first replay also finds out what the RAM is: that takes a start, and is kept.
    async with from_start(recording):
        pass
    replay = await plain_replay(recording)
    began = time.monotonic()
    async with await Replay.open(recording) as opened_replay:
        await opened_replay.seek(opened_replay.timeline.end)
        opening = time.monotonic() - began
    forget(recording)
    indexed = await index(recording)
    times, wrong = await _jumps(recording, jumps)
    return Pace(
        manifest.icount, round(manifest.seconds, 2), (recording / "replay.bin").stat().st_size,
        round(timeline.cost.seconds(0, timeline.end.icount), 2), round(replay, 2), round(opening, 2),
        round(indexed.seconds, 2), indexed.snapshots, indexed.size,
        len(times), round(Series.of(times).p50, 3), round(Series.of(times).p95, 3), wrong,
    )  # fmt: skip


async def plain_replay(recording: Path) -> float:
    """Seconds of a replay from start to end without a stop."""
    async with from_start(recording) as walker:
        began = time.monotonic()
        await walker.run_to(walker.timeline.end.icount)
        return time.monotonic() - began


async def _jumps(recording: Path, count: int) -> tuple[Sequence[float], int]:
    """How long each jump to a random place took, and how many did not end as a forward run does."""
    with Recording.open(recording) as opened:
        wanted = places(load_timeline(opened), count, _SEED)
    expected = await forward(recording, wanted)
    reachable = [place for place in wanted if place in expected]
    times, wrong = [], 0
    async with await Replay.open(recording, spares=SPARES) as replay:
        for place in reachable:
            began = time.monotonic()
            await replay.seek(place)
            times.append(time.monotonic() - began)
            wrong += not await is_exact(replay, place, expected)
    return times, wrong


_HEAD = """\
# Does replaying keep up?

Made by `make bench` (`python -m benchmarks.pace`); do not edit.

Guests that nobody here wrote, on 2 cores{busy}, with QEMU {qemu}: Debian with systemd from a disk, waiting at its
prompt; UEFI (OVMF) at its shell; Linux with busybox, waiting; memtest86+; U-Boot on aarch64; and the two guests of the
[other benchmarks](benchmarks.md). *forecast* is how long a replay takes by what
`rrdbg record` says at its end, *replay* one without a stop, *opening* the first `rrdbg replay` at the end, *index*
`rrdbg index` with proofs. Each jump to a random place, by a session that has machines waiting as the shell has, was
compared with a forward run: registers and all RAM.

| guest | recorded | log | forecast | replay | opening | index | snapshots | jump p50 | p95 | wrong |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def page(qemu: str, load: float, found: dict[str, Pace]) -> str:
    """The table, as Markdown."""
    busy = f" ({load:.1f} of them busy with other work)" if load >= 0.5 else ""
    rows = [
        f"| {name} | {pace.recording:.1f} s | {pace.log / 1e6:.1f} MB | {pace.forecast:.1f} s | "
        f"{pace.replay:.1f} s "
        f"({pace.replay / pace.recording:.2f}x) | {pace.opening:.1f} s ({pace.opening / pace.replay:.2f}x) | "
        f"{pace.indexing:.1f} s ({pace.indexing / pace.replay:.2f}x) | {pace.snapshots}, {pace.size / 1e6:,.0f} MB | "
        f"{pace.p50 * 1000:.0f} ms | {pace.p95 * 1000:.0f} ms | {pace.wrong} of {pace.jumps} |"
        for name, pace in found.items()
    ]
    return _HEAD.format(busy=busy, qemu=qemu) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (RrdbgError, GuestError) as error:
        sys.exit(f"pace: {error}")
