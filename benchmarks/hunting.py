"""How many runs a minute ``rrdbg hunt`` makes, beside a shell loop around QEMU: a table for docs/howto/hunt.md.

python -m benchmarks.hunting                       # bare metal, from its start and from where its own code begins
python -m benchmarks.hunting --linux --seconds 300 # a Linux boot, and from its init
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guests import BUILT
from rrdbg.model.timeline.position import Position
from rrdbg.render.text import table
from rrdbg.store.history import Console
from rrdbg.store.layout import Layout
from tests.guests.build import QEMU_OPTIONS, build
from tests.guests.linux import build_linux

_NEVER = "rrdbg-nobody-prints-that"
_END_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Measured:
    """A guest: the command that runs it, the text that it begins its own code with, and the last one that it prints."""

    name: str
    command: Sequence[str]
    begins: str
    done: str


def bare_metal() -> Measured:
    """A guest of 6 million instructions."""
    elf = build("check_use", BUILT)
    words = ("qemu-system-x86_64", *QEMU_OPTIONS, "-display", "none", "-serial", "stdio", "-kernel", str(elf))
    return Measured("check_use", words, "check_use: up", "check_use: done")


def linux() -> Measured:
    """Debian's kernel from its start to its power-off: 1.4 thousand million instructions."""
    guest = build_linux(BUILT)
    words = (
        "qemu-system-x86_64", "-m", "256M", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", guest.cmdline,
    )  # fmt: skip
    return Measured("Linux", words, "rrdbg-guest: up", "rrdbg-guest: done")


def shell_loop(guest: Measured, jobs: int, seconds: float) -> float:
    """Runs a minute of ``jobs`` shells at a time, each of which runs QEMU again and again."""
    with tempfile.TemporaryDirectory() as folder:
        count = Path(folder) / "count"
        command = shlex.join([*guest.command, "-icount", "shift=5", "-no-reboot"])
        script = f"while :; do {command} </dev/null >/dev/null; echo >> {shlex.quote(str(count))}; done"
        began = time.monotonic()
        loops = [subprocess.Popen(["sh", "-c", script], start_new_session=True) for _ in range(jobs)]
        try:
            time.sleep(seconds)
            runs = len(count.read_text()) if count.exists() else 0
            return 60 * runs / (time.monotonic() - began)
        finally:
            for loop in loops:
                os.killpg(loop.pid, 15)
                loop.wait(_END_SECONDS)


def hunt(guest: Measured, jobs: int, seconds: float, library: Path, begin: str = "") -> float:
    """Runs a minute of a hunt that finds nothing, from the start or from the place ``begin``."""
    words = ["--from", begin] if begin else []
    end = ["--", *guest.command] if not begin else []
    told = _rrdbg(
        library, "hunt", "--json", "--no-check", "--until-console", _NEVER, "--done-console", guest.done, "--jobs",
        str(jobs), "--minutes", str(seconds / 60), *words, *end,
    )  # fmt: skip
    last = json.loads(told.splitlines()[-1])
    return 60 * float(last["runs"]) / float(last["seconds"])


def place(guest: Measured, library: Path) -> str:
    """Where the guest's own code begins, in a recording that is made for that."""
    recording = library / "first"
    _rrdbg(library, "record", "-q", "-o", str(recording), "--until-console", guest.done, "--", *guest.command)
    layout = Layout(recording)
    found = Console.read(layout.log, layout.console).find(guest.begins, Position(-1))
    assert found, f"{guest.name} never prints {guest.begins}"
    return f"{recording}@{found.icount}"


def _rrdbg(library: Path, *words: str) -> str:
    environment = {**os.environ, "RRDBG_DIR": str(library), "XDG_STATE_HOME": str(library / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "rrdbg", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return done.stdout


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--linux", action="store_true", help="Linux instead of the bare-metal guest")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="runs at a time")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    arguments = parser.parse_args()
    guest = linux() if arguments.linux else bare_metal()
    jobs, seconds = arguments.jobs, arguments.seconds
    with tempfile.TemporaryDirectory(prefix="rrdbg-hunting-") as folder:
        library = Path(folder)
        begin = place(guest, library)
        figures = (
            shell_loop(guest, jobs, seconds), hunt(guest, jobs, seconds, library),
            hunt(guest, jobs, seconds, library, begin),
        )  # fmt: skip
    headings = ("Runs a minute", "At a time", "Shell loop", "From the start", f"--from '{guest.begins}'")
    print(table(headings, [(guest.name, str(jobs), *(f"{figure:.0f}" for figure in figures))]))


if __name__ == "__main__":
    main()
