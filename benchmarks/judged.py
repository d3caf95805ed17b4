"""What is judged inside QEMU on a boot of Linux, beside a plain replay of the stretch: ``python -m benchmarks.judged``.

A condition that is false 10,000 times; one that is false at each call of ``kmem_cache_alloc``; the table of them;
writes to ``jiffies_64`` under a condition that never holds; a profile of the whole boot. The guest is recorded in
build/bench as for benchmarks.pace, by the QEMU on ``PATH``, or it is that RECORDING of it, which is not written to.
Each measure begins in a copy that has all of its snapshots, and knows nothing else. Seconds of the clock, and of
processor time of QEMUs and of rrdbg, which mean something on a busy machine, too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guests import BUILT
from benchmarks.pace import ROOT, plain_replay, recorded
from benchmarks.processes import busy_processors
from rrdbg.engine.queries.calls import calls
from rrdbg.engine.queries.evaluate import Judge
from rrdbg.engine.queries.occurrences import nth
from rrdbg.engine.queries.profile import profile
from rrdbg.engine.queries.sampling import spacing
from rrdbg.engine.queries.writes import writes
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.indexer import index
from rrdbg.errors import RrdbgError
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint, Watchpoint
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.tracing import Format, Tracepoint
from rrdbg.model.timeline.position import START, Position
from rrdbg.render.text import table
from tests.forward import from_start
from tests.guests.build import GuestError, symbol
from tests.guests.linux import build_linux, make_symbols
from tests.recordings import fresh_copy

_GUEST = "linux"
_FUNCTION = "kmem_cache_alloc"
_HOT = "jiffies_64"
_FEW = 10_000

# x86-64's registers, by GDB's numbers: the first two arguments.
_RDI, _RSI = b"\x26\x00\x05", b"\x26\x00\x04"
_OBJECT_SIZE = 28
"""Where ``object_size`` is in a ``struct kmem_cache`` of Linux 6.1."""

_SIZE_IS_12345 = _RDI + b"\x22" + bytes([_OBJECT_SIZE]) + b"\x02\x19\x23" + (12345).to_bytes(2, "big") + b"\x13\x27"


@dataclass(frozen=True, slots=True)
class Took:
    """How many rows a measure had, in how many seconds of the clock and of processors: QEMUs', and rrdbg's own."""

    rows: int
    seconds: float
    qemus: float
    own: float


Work = Callable[[Replay], Awaitable[int]]


async def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judged", description=__doc__)
    parser.add_argument("recording", type=Path, nargs="?", help="of benchmarks' Linux guest (default: see above)")
    parser.add_argument("--runs", type=int, default=1, help="how often each is measured (default: 1)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="where the recordings are")
    parser.add_argument("--scratch", type=Path, help="where the copies lie (default: where temporary files do)")
    arguments = parser.parse_args()
    version = (await qemu_version(find_qemu("qemu-system-x86_64"))).split()[0]
    load = await busy_processors()
    recording = arguments.recording or await recorded(_GUEST, arguments.folder / version)
    symbols = make_symbols(build_linux(BUILT))
    function, hot = symbol(symbols, _FUNCTION).address, symbol(symbols, _HOT).address
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="rrdbg-judged-", dir=arguments.scratch) as folder:
        copy = fresh_copy(recording, Path(folder) / "copy")
        await index(copy)
        plain_all = await plain_replay(copy)
        few, plain_few = await _stretch(copy, function)
        measures: dict[str, tuple[float, Work]] = {
            f"{_FEW:,} false conditions": (plain_few, lambda replay: _conditions(replay, function, few)),
            "a false condition, whole boot": (plain_all, lambda replay: _conditions(replay, function, _end(replay))),
            f"calls {_FUNCTION}": (plain_all, lambda replay: _calls(replay, function)),
            f"writes {_HOT} if false": (plain_all, lambda replay: _writes(replay, hot)),
            "profile": (plain_all, _profile),
        }
        for _ in range(arguments.runs):
            for name, (plain, work) in measures.items():
                run = Path(shutil.copytree(copy, Path(folder) / "run"))
                took = await _timed(run, work)
                shutil.rmtree(run)
                rows.append(
                    (
                        name, f"{took.rows:,}", f"{plain:.1f} s", f"{took.seconds:.1f} s",
                        f"{took.seconds / plain:.2f}", f"{took.qemus:.1f} s", f"{took.own:.1f} s",
                    )
                )  # fmt: skip
                print(f"{rows[-1]}", file=sys.stderr, flush=True)
    print(f"QEMU {version}, {load:.1f} processors busy with other work")
    print(table(("Measure", "Rows", "Plain replay", "Seconds", "Times", "QEMUs", "rrdbg"), rows))
    return 0


async def _stretch(recording: Path, function: int) -> tuple[Position, float]:
    """Up to where ``function`` was called so often, and the seconds of a plain replay from the start to there."""
    async with await Replay.open(recording) as replay:
        found = await nth(replay, [Breakpoint(-1, function)], _FEW, START, _end(replay))
        assert found.hit is not None, "the boot has as many calls"
        end = Position(replay.timeline.deliveries.plain_after(found.hit.position.icount))
    async with from_start(recording) as walker:
        began = time.monotonic()
        await walker.run_to(end.icount)
        return end, time.monotonic() - began


async def _timed(recording: Path, work: Work) -> Took:
    (recording / "hits.json").unlink(missing_ok=True)
    qemus, own = _spent(resource.RUSAGE_CHILDREN), _spent(resource.RUSAGE_SELF)
    async with await Replay.open(recording) as replay:
        await replay.accelerator.info()
        began = time.monotonic()
        rows = await work(replay)
        seconds = time.monotonic() - began
    used = _spent(resource.RUSAGE_CHILDREN) - qemus
    return Took(rows, seconds, used, _spent(resource.RUSAGE_SELF) - own)


def _spent(whose: int) -> float:
    times = resource.getrusage(whose)
    return times.ru_utime + times.ru_stime


def _end(replay: Replay) -> Position:
    return Position(replay.timeline.deliveries.plain_at_or_before(replay.timeline.end.icount))


async def _counted(rows: AsyncIterable[object]) -> int:
    return len([row async for row in rows])


async def _conditions(replay: Replay, function: int, end: Position) -> int:
    judge = Judge({function: Condition((Expression(_SIZE_IS_12345),), unclear=False)})
    return await _counted(replay.scan([Breakpoint(-1, function)], START, end, judge))


async def _calls(replay: Replay, function: int) -> int:
    point = Tracepoint(function, (Expression(_RDI + b"\x27"), Expression(_RSI + b"\x27")))
    forms = Format.read("%lx%lx").conversions
    return await _counted(calls(replay, function, [point], forms, START, _end(replay)))


async def _writes(replay: Replay, hot: int) -> int:
    is_never = b"\x25" + hot.to_bytes(8, "big") + b"\x1a\x22\x01\x13\x27"
    condition = Condition((Expression(is_never),), unclear=False)
    return await _counted(writes(replay, Watchpoint(-1, hot, 8), condition, START, _end(replay)))


async def _profile(replay: Replay) -> int:
    end = _end(replay)
    return await _counted(profile(replay, spacing(end.icount), START, end, None))


if __name__ == "__main__":
    os.environ.pop("RRDBG_ACCELERATOR", None)
    try:
        sys.exit(asyncio.run(main()))
    except (RrdbgError, GuestError) as error:
        sys.exit(f"judged: {error}")
