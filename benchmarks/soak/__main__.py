"""Random operations on a recording, through the shell, until both numbers are reached, or SIGTERM comes.

python -m benchmarks.soak RECORDING [--operations 2000] [--seconds 3600] [--seed N]

Some operations are interrupted as by Ctrl-C, some have a QEMU killed under them, by SIGKILL. Now and then the state at
a position must be what a forward run has noted there at the beginning, and memory, processes, descriptors and files
must not have grown. The recording is copied first. Exit status 1 where something leaks or is wrong; the seed tells how
to see it again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.soak.census import HEADER, Census, qemu_pids
from benchmarks.soak.landmarks import Landmark, survey
from benchmarks.soak.operations import Operations
from rrdbg.engine.replay import Replay
from rrdbg.errors import Divergence, Interrupted, QemuDied, RrdbgError, Stalled
from rrdbg.frontends.repl.output import Outlet
from rrdbg.frontends.repl.shell import Shell
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import open_with_workers, symbols_of
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.results import Result
from rrdbg.model.size import parse_size

_LANDMARKS = 24
_CHECK_EVERY = 10
_CENSUS_EVERY = 50
_WARM = 100
"""Operations before the census that later ones are compared with."""

_INTERRUPTED = 0.04
_KILLED = 0.03
"""Shares of the operations."""

_PATIENCE_SECONDS = 2.0
"""After which an operation is interrupted: a search through a whole boot may take minutes."""

_STOP_SECONDS = 90.0
"""How long it may take then; QEMU's watchdog has a minute."""

_NUMBER = re.compile(r"0x[0-9a-f]+|\b\d[\d,]*")


async def main() -> int:
    """Soak, and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--budget", default="1G", help="what the snapshots may take")
    parser.add_argument("--spares", type=int, default=2, help="machines ahead of the next movement")
    parser.add_argument("--jobs", type=int, default=1, help="machines that search at the same time")
    parser.add_argument("--symbols", help="a file that GDB reads symbols from")
    arguments = parser.parse_args()
    budget = parse_size(arguments.budget)
    with tempfile.TemporaryDirectory(prefix="rrdbg-bench-") as folder:
        copy = Path(shutil.copytree(arguments.recording, Path(folder) / arguments.recording.name))
        # What else uses this machine's folder for such files must not be counted.
        tempfile.tempdir = str(Path(folder) / "temporary")
        Path(tempfile.tempdir).mkdir()
        choice = random.Random(arguments.seed)
        print(f"seed {arguments.seed}; noting {_LANDMARKS} landmarks", flush=True)
        landmarks = await survey(copy, _LANDMARKS, choice)
        async with AsyncExitStack() as stack:
            opening = open_with_workers(
                copy, arguments.jobs, None, budget=budget, spares=arguments.spares, client="soak"
            )
            replay = await stack.enter_async_context(await opening)
            shells = await stack.enter_async_context(_Shells(replay, symbols_of(replay.recording, arguments.symbols)))
            soak = Soak(shells, landmarks, choice, budget)
            try:
                await soak.run(arguments.operations, arguments.seconds)
            finally:
                soak.report()
        left = [*Path(tempfile.tempdir).iterdir(), *(copy / "scratch").glob("*")]
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for what, found in (("QEMUs", qemu_pids()), ("files", left), ("tasks", tasks)):
        if found:
            soak.faults.append(f"{what} are left at the end: {found}")
    for fault in soak.faults:
        print(f"FAULT: {fault}")
    print("no faults" if not soak.faults else f"{len(soak.faults)} faults; --seed {arguments.seed}", flush=True)
    return 1 if soak.faults else 0


class _Deaf(Outlet):
    """Renders what would be printed, and drops it."""

    def show(self, result: Result) -> None:
        self.text(result)

    def warn(self, text: str) -> None:
        pass


class _Shells(AsyncExitStack):
    """One shell after another on ``replay``, each with a GDB if there is one."""

    def __init__(self, replay: Replay, symbols: Path | None) -> None:
        super().__init__()
        self.replay = replay
        self._symbols = symbols
        self.with_gdb = shutil.which("gdb") is not None

    async def fresh(self) -> Shell:
        """A new shell; the one before is over."""
        await self.aclose()
        debugger = None
        if self.with_gdb:
            debugger = await self.enter_async_context(Debugger.on(self.replay, "gdb", self._symbols))
        return self.enter_context(Shell(self.replay, debugger, _Deaf(), Waiting(ProgressLine(quiet=True))))


class Soak:
    """Drives ``shells``; :attr:`faults` are the sentences that make it fail."""

    def __init__(self, shells: _Shells, landmarks: Sequence[Landmark], choice: random.Random, budget: int) -> None:
        self._shells = shells
        self._replay = shells.replay
        self._shell: Shell
        self._gdbs = 0
        self._landmarks = landmarks
        self._choice = choice
        self._budget = budget
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._first: Census | None = None
        self._checks = 0
        self._done = 0
        self._over = asyncio.Event()
        self._began = time.monotonic()
        self.faults: list[str] = []

    async def run(self, count: int, seconds: float) -> None:
        """Work until ``count`` operations are done and ``seconds`` are over, or SIGTERM comes."""
        self._shell = await self._shells.fresh()
        end = self._replay.timeline.end.icount
        operations = Operations(end, self._landmarks, self._choice, gdb=self._shells.with_gdb)
        print(f"  time  done  {HEADER}", flush=True)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._over.set)
        while (self._done < count or time.monotonic() - self._began < seconds) and not self._over.is_set():
            self._done += 1
            name, lines = operations.draw()
            if not await self._perform(name, lines):
                return
            if self._shells.with_gdb and self._shell.debugger is None:
                # GDB itself has ended: GDB 13.1 does so now and then, by a signal.
                self._gdbs += 1
                self._shell = await self._shells.fresh()
            if self._done % _CHECK_EVERY == 0:
                await self._check()
            if self._done % _CENSUS_EVERY == 0:
                self._count()

    async def _perform(self, name: str, lines: Sequence[str]) -> bool:
        """Type ``lines``, with a trouble now and then; False if that cannot be ended."""
        trouble = self._choice.random()
        interrupted, killed = trouble < _INTERRUPTED, _INTERRUPTED <= trouble < _INTERRUPTED + _KILLED
        loop = asyncio.get_running_loop()
        timers = []
        if interrupted:
            timers.append(loop.call_later(self._choice.random() * 1.5, _interrupt))
        if killed:
            timers.append(loop.call_later(self._choice.random() * 1.5, self._kill))
        began = time.monotonic()
        typing = asyncio.create_task(self._type(name, lines, killed=killed))
        finished, _ = await asyncio.wait((typing,), timeout=_PATIENCE_SECONDS * len(lines) + _STOP_SECONDS)
        for timer in timers:
            timer.cancel()
        self._seconds[name] += time.monotonic() - began
        if not finished:
            typing.print_stack()
            self._fault(name, lines, "it does not end, though it was interrupted")
            typing.cancel()
            return False
        return True

    async def _type(self, name: str, lines: Sequence[str], *, killed: bool) -> None:
        loop = asyncio.get_running_loop()
        for line in lines:
            timer = loop.call_later(_PATIENCE_SECONDS, _interrupt)
            try:
                await self._shell.run(line)
                self._outcomes[name, "done"] += 1
            except Interrupted:
                self._outcomes[name, "interrupted"] += 1
            except QemuDied as error:
                self._outcomes[name, "died"] += 1
                if not killed:
                    self._fault(name, lines, f"{line}: {error}")
            except (Divergence, Stalled) as error:
                self._fault(name, lines, f"{line}: {error}")
            except RrdbgError as error:
                self._outcomes[name, "refused"] += 1
                self._refusals[_NUMBER.sub("N", str(error))[:110]] += 1
            except Exception:  # noqa: BLE001  whatever it is, it is what we look for
                self._fault(name, lines, f"{line}: {traceback.format_exc()}")
            finally:
                timer.cancel()

    def _kill(self) -> None:
        if pids := qemu_pids():
            os.kill(self._choice.choice(pids), signal.SIGKILL)

    async def _check(self) -> None:
        """Go to a landmark and compare."""
        mark = self._choice.choice(self._landmarks)
        replay = self._replay
        try:
            await replay.seek(mark.position)
            if not await mark.matches(replay):
                self.faults.append(f"after {self._done} operations the state at {mark.position} is another one")
            self._checks += 1
        except RrdbgError as error:
            self.faults.append(f"after {self._done} operations {mark.position} cannot be reached: {error}")

    def _count(self) -> None:
        census = Census.take(self._replay, self._budget)
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes:3}:{seconds:02} {self._done:5}  {census.row()}", flush=True)
        if self._done <= _WARM or self._first is None:
            self._first = census
        else:
            self.faults += [f"after {self._done} operations {leak}" for leak in census.leaks(self._first)]

    def _fault(self, name: str, lines: Sequence[str], what: str) -> None:
        self._outcomes[name, "FAULT"] += 1
        self.faults.append(f"operation {self._done}, {name} ({'; '.join(lines)}): {what}")
        print(f"FAULT: {self.faults[-1]}", flush=True)

    def report(self) -> None:
        """Print what was done."""
        kinds = ("done", "refused", "interrupted", "died", "FAULT")
        print(f"\n{'':<26}" + "".join(f"{kind:>12}" for kind in kinds) + f"{'seconds':>12}")
        for name in sorted({name for name, _ in self._outcomes}):
            figures = "".join(f"{self._outcomes[name, kind]:>12}" for kind in kinds)
            print(f"{name:<26}{figures}{self._seconds[name]:>12.1f}")
        print("\nRefused:")
        for text, count in self._refusals.most_common():
            print(f"{count:5}  {text}")
        print(
            f"{self._done} operations in {time.monotonic() - self._began:.0f} s; {self._checks} times a state was "
            f"compared with the forward run's; GDB itself ended {self._gdbs} times",
            flush=True,
        )


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
