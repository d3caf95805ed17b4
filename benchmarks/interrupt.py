"""How soon the shell stops on Ctrl-C: ``python -m benchmarks.interrupt RECORDING``.

Each command is begun at the start of the recording and interrupted by SIGINT after some random time, as often as
``--runs`` says; the figure is from the signal to the error that states the position.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

from benchmarks.figures import Series
from rrdbg.engine.replay import Replay
from rrdbg.errors import Interrupted
from rrdbg.frontends.repl.output import Outlet
from rrdbg.frontends.repl.shell import Shell
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import symbols_of
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.results import Result
from rrdbg.model.timeline.position import START

COMMANDS = ("continue", "seek end", 'tprintf *0x1234,"x"', "reverse-continue", "last *0x1234:4")
"""Those that go back begin at the end."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    arguments = parser.parse_args()
    return asyncio.run(_measure(arguments.recording, arguments.runs))


class _Silent(Outlet):
    def show(self, result: Result) -> None:
        """What came to its end before the signal is of no interest."""


async def _measure(recording: Path, runs: int) -> int:
    delays = random.Random(1)
    async with (
        await Replay.open(recording) as replay,
        Debugger.on(replay, "gdb", symbols_of(replay.recording, None)) as debugger,
    ):
        with Shell(replay, debugger, _Silent(), Waiting(ProgressLine(quiet=True))) as shell:
            for command in COMMANDS:
                origin = replay.timeline.end if command.startswith(("reverse", "last")) else START
                seconds: list[float] = []
                while len(seconds) < runs:
                    await replay.seek(origin)
                    work = asyncio.create_task(shell.run(command))
                    await asyncio.sleep(delays.uniform(0.3, 1.5))
                    began = time.monotonic()
                    os.kill(os.getpid(), signal.SIGINT)
                    try:
                        await work
                    except Interrupted:
                        seconds.append(time.monotonic() - began)
                print(f"{command:<24} {Series.of(seconds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
