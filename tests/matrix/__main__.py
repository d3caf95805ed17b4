"""Jump about in guests with the QEMU that PATH has, and tell how many jumps were exact; make a page of it.

python -m tests.matrix aarch64-linux arm-microbit [--jumps 200]
python -m tests.matrix all
python -m tests.matrix --page docs/reference/guests.md
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rrdbg.engine.replay import Replay
from rrdbg.errors import RrdbgError
from rrdbg.model.timeline.snapshot import SnapshotKind
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.conftest import GUEST_DIR
from tests.guests.build import GuestError
from tests.matrix.cells import NAMES, command, record
from tests.matrix.jumps import Outcome, forward, jump, places
from tests.matrix.measured import Measured, load, page, save


async def measure(name: str, words: Sequence[str], jumps: int, seed: int) -> Measured:
    """Record a guest by its command, and jump about in it."""
    version = _version(words[0])
    with tempfile.TemporaryDirectory(prefix="rrdbg-matrix-") as folder:
        try:
            root = await record(name, words, Path(folder) / "recording")
        except RrdbgError as error:
            return Measured(name, version, refused=str(error).splitlines()[0])
        with Recording.open(root) as recording:
            timeline = load_timeline(recording)
        wanted = places(timeline, jumps, seed)
        expected = await forward(root, wanted)
        async with await Replay.open(root) as replay:
            outcome: Outcome = await jump(replay, [place for place in wanted if place in expected], expected)
            # Rungs of a ladder go with the session, and are not proved.
            kept = [known for known in replay.timeline.snapshots if known.kind is not SnapshotKind.LADDER]
            while await replay.prove_next():
                pass
            proved = sum(bool(snapshot.sound) for snapshot in replay.timeline.snapshots)
    return Measured(
        name, version, "", timeline.end.icount, len(kept), outcome.jumps, outcome.exact, outcome.recovered,
        sum(place not in expected for place in wanted),
        tuple(f"{count} times: {sentence}" for sentence, count in outcome.errors.most_common()), proved,
    )  # fmt: skip


def _version(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise GuestError(f"there is no {program} on PATH")
    text = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"version ([\d.]+)", text)
    if match is None:
        raise GuestError(f"{program} does not tell its version")
    return match[1]


def main() -> int:
    """Measure and print, or write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix")
    parser.add_argument("guests", nargs="*", metavar="GUEST", help=f"of: {', '.join(NAMES)}; or all")
    parser.add_argument("--jumps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=GUEST_DIR.parent / "matrix", help="where results are kept")
    parser.add_argument("--page", type=Path, help="write all results there are into this page")
    arguments, options = parser.parse_known_args()
    every = arguments.guests == ["all"]
    if every:
        arguments.guests = NAMES
    if unknown := [name for name in arguments.guests if name not in NAMES]:
        parser.error(f"there is no guest {unknown[0]}, only {', '.join(NAMES)}")
    sound = True
    for name in arguments.guests:
        began = time.monotonic()
        try:
            words = (*command(name, GUEST_DIR), *options)
            measured = asyncio.run(measure(name, words, arguments.jumps, arguments.seed))
        except GuestError as error:
            if not every:
                parser.error(f"{name}: {error}")
            print(f"{name}: {error}", flush=True)
            continue
        save(measured, arguments.results)
        seconds = time.monotonic() - began
        print(f"QEMU {measured.version}, {name}: {measured}; {measured.instructions:,} instructions, {seconds:.0f} s")
        for line in measured.errors:
            print(f"  {line}", flush=True)
        sound = sound and measured.sound
    if arguments.page:
        arguments.page.write_text(page(load(arguments.results)))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
