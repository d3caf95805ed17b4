"""Jump about in one guest with the QEMU that PATH has, and tell how many were exact.

python -m tests.matrix aarch64 linux [--jumps 200] [QEMU OPTION...]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rrdbg.engine.replay import Replay
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.conftest import GUEST_DIR
from tests.matrix.cells import ARCHITECTURES, GUESTS, command, record
from tests.matrix.jumps import forward, jump, places


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix")
    parser.add_argument("architecture", choices=ARCHITECTURES)
    parser.add_argument("guest", choices=GUESTS)
    parser.add_argument("--jumps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments, options = parser.parse_known_args()
    words = (*command(arguments.architecture, arguments.guest, GUEST_DIR), *options)
    with tempfile.TemporaryDirectory(prefix="rrdbg-matrix-") as folder:
        root = await record(words, Path(folder) / "recording")
        with Recording.open(root) as recording:
            timeline = load_timeline(recording)
            version = recording.manifest.qemu_version.split()[0]
        wanted = places(timeline, arguments.jumps, arguments.seed)
        expected = await forward(root, wanted)
        began = time.monotonic()
        async with await Replay.open(root) as replay:
            outcome = await jump(replay, [place for place in wanted if place in expected], expected)
            snapshots = len(replay.timeline.snapshots)
        seconds = time.monotonic() - began
    unreached = sum(place not in expected for place in wanted)
    name = f"QEMU {version}, {arguments.architecture}, {arguments.guest}"
    print(
        f"{name}: {outcome.exact} of {outcome.jumps} jumps exact, {outcome.wrong} wrong, {outcome.noticed} noticed, "
        f"{outcome.recovered} of them recovered; {unreached} places not even reached forwards; "
        f"{timeline.end.icount:,} instructions, {snapshots} snapshots, {seconds / outcome.jumps:.2f} s a jump"
    )
    for sentence, count in outcome.errors.most_common():
        print(f"  {count} times: {sentence}")
    return 0 if outcome.sound else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
