"""What the list of a Linux guest's task switches takes, beside a plain replay: ``python -m benchmarks.switches``.

The guest is Debian with systemd, recorded in build/bench as for benchmarks.pace, or any RECORDING. The list is made in
a copy of it in which nobody has travelled, but its kernel is known: a session looks for that as it begins.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pace import plain_replay, recorded
from benchmarks.processes import busy_processors
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.accelerator import SETTING
from rrdbg.engine.snapshots.indexer import index
from rrdbg.errors import RrdbgError
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.model.timeline.position import START
from rrdbg.render.text import table
from tests.guests.build import GuestError
from tests.recordings import fresh_copy

ROOT = Path(__file__).parents[1]
_GUEST = "debian"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list has taken, in seconds, how many switches it has, and how many passes of the plugin's there were."""

    seconds: float
    switches: int
    passes: int


async def main() -> int:
    """Measure, and print the table."""
    arguments = _arguments()
    version = (await qemu_version(find_qemu("qemu-system-x86_64"))).split()[0]
    load = await busy_processors()
    recording = arguments.recording or await recorded(_GUEST, arguments.folder / version)
    rows = []
    with tempfile.TemporaryDirectory(prefix="rrdbg-switches-", dir=arguments.scratch) as folder:
        copy = fresh_copy(recording, Path(folder) / "copy")
        for name in ("switches.json", "linux.json", "kernel.elf"):
            (copy / name).unlink(missing_ok=True)
        async with await Replay.open(copy) as replay:
            await kernel_of(replay, anyway=True)
        if arguments.indexed:
            await index(copy)
        for number in range(arguments.runs):
            run = Path(shutil.copytree(copy, Path(folder) / f"run-{number}"))
            plain = await plain_replay(run)
            listed = await _listed(run)
            rows.append(
                (
                    str(number + 1), f"{plain:.1f} s", f"{listed.seconds:.1f} s", f"{listed.seconds / plain:.2f}",
                    f"{listed.switches:,}", str(listed.passes),
                )
            )  # fmt: skip
            shutil.rmtree(run)
            print(f"{rows[-1]}", file=sys.stderr, flush=True)
    print(f"QEMU {version}, {load:.1f} processors busy with other work")
    print(table(("Run", "Plain replay", "List", "Times", "Switches", "Passes"), rows))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.switches", description=__doc__,
        epilog=f"{SETTING}=off measures the list with a stop at each switch.",
    )  # fmt: skip
    parser.add_argument("recording", type=Path, nargs="?", help="of a Linux guest (default: Debian, see above)")
    parser.add_argument("--runs", type=int, default=1, help="how often both are measured (default: 1)")
    parser.add_argument("--indexed", action="store_true", help="in a copy with all of its snapshots")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="where the recordings are")
    parser.add_argument("--scratch", type=Path, help="where the copies lie (default: where temporary files do)")
    return parser.parse_args()


async def _listed(recording: Path) -> Listed:
    async with await Replay.open(recording) as replay:
        finder = await LinuxGuest(replay).switches()
        began = time.monotonic()
        known = await finder.ensure(START, replay.timeline.end)
        seconds = time.monotonic() - began
        found = [switch for switch in known.switches if not switch.goes_on]
        return Listed(seconds, len(found), (await replay.accelerator.info()).passes)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (RrdbgError, GuestError) as error:
        sys.exit(f"switches: {error}")
