"""``rrdbg bisect``: the first position at which something holds."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

from rrdbg.commands.scope import bisection
from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.queries.bisect import CHECKS, Bisector
from rrdbg.engine.queries.changes import changes
from rrdbg.engine.queries.predicates import Predicate
from rrdbg.errors import Interrupted, Undecided, UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.bisect.choosing import Asked, asked, check_had_value, predicate
from rrdbg.frontends.bisect.report import Report
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.options import add_budget, add_debugger, add_jobs, add_recording, add_trust, gdb_of
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.hits.bisection import Bisection, Probe
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.bisect_log import BisectLog, Head, read_bisect_log

_TIMEOUT_SECONDS = 600.0

_DESCRIPTION = """
Find the first position of a recording at which a predicate holds, to the instruction. It is looked for by halving, so
the predicate must not hold at the good end, must hold at the bad one, and once true stay true; --scan needs none of
that. Exit status 0: found. 3: there is no single answer. 1: the predicate failed. 2: wrong usage. 130: interrupted.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "bisect", help="find where something first holds", description=_DESCRIPTION,
        usage="rrdbg bisect [options] [recording] (--expr EXPR | --memory TEST | --console TEXT | "
        "--python FILE:FUNCTION | --run COMMAND...)",
    )  # fmt: skip
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--expr", metavar="EXPR", help="an expression of GDB's is not zero")
    parser.add_argument(
        "--memory", metavar="ADDRESS:LENGTH==HEX",
        help="memory has these bytes, or with 0x this number; or != (an address may be an expression)",
    )  # fmt: skip
    parser.add_argument("--console", metavar="TEXT", help="the guest's console has printed TEXT")
    parser.add_argument(
        "--python", metavar="FILE:FUNCTION", help="FUNCTION(replay) in FILE is true; it may raise rrdbg.Skip"
    )
    parser.add_argument("--good", metavar="POSITION", default=None, help="it does not hold there (default: start)")
    parser.add_argument("--bad", metavar="POSITION", default=None, help="it holds there (default: end)")
    parser.add_argument(
        "--task", metavar="NAME|PID", default="",
        help="it is asked only where this task of a Linux guest runs, of its own memory",
    )  # fmt: skip
    parser.add_argument("--scan", action="store_true", help="list every change between good and bad instead")
    parser.add_argument(
        "--everywhere", action="store_true",
        help="with --scan: in every address space, and not only in the one at the bad end",
    )  # fmt: skip
    parser.add_argument("--checks", type=int, default=CHECKS, metavar="N", help="look about N times if it held before")
    parser.add_argument(
        "--timeout", type=float, default=_TIMEOUT_SECONDS, metavar="SECONDS",
        help="skip where --run or --python takes longer (default: 600)",
    )  # fmt: skip
    parser.add_argument("--log", metavar="FILE", help="write down what was found, probe by probe")
    parser.add_argument("--resume", metavar="FILE", help="go on with the bisect that FILE is the log of")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress, and no output of --run")
    add_debugger(parser)
    add_budget(parser)
    add_jobs(parser)
    parser.add_argument(
        "--run", dest="command", nargs=argparse.REMAINDER, metavar="COMMAND",
        help="all that follows is a command, and it fails: status 1 to 124 (0: good, 125: skip, others end the bisect)",
    )  # fmt: skip
    parser.set_defaults(run=run, passes_on=True)


async def run(arguments: argparse.Namespace) -> int:
    """Bisect, or scan, and tell what came of it."""
    head, known = read_bisect_log(Path(arguments.resume)) if arguments.resume else (None, ())
    wanted = asked(arguments) or (Asked(head.kind, head.words) if head else None)
    if wanted is None:
        raise UsageError("A predicate is missing: --expr, --memory, --console, --python or --run.")
    task = arguments.task or (head.task if head else "")
    if head and (
        arguments.scan or arguments.log or task != head.task or wanted != Asked(head.kind, head.words)
    ):  # fmt: skip
        raise UsageError(
            f"--resume goes on with what {arguments.resume} says; no other predicate or --task, no --log or --scan."
        )
    recording = arguments.recording or (head.recording if head else None)
    gdb = gdb_of(arguments)
    api = await AsyncReplay.open(
        recording, symbols=arguments.symbols, gdb=gdb, snapshot_budget=arguments.snapshot_budget,
        trust=arguments.trust, jobs=arguments.jobs, dask=arguments.dask, client="bisect",
    )  # fmt: skip
    async with api, AsyncExitStack() as stack:
        stack.enter_context(interrupted_at(lambda: api.position, "the predicate was being asked"))
        good, bad = await _ends(api, arguments, head)
        report = Report(api, wanted, json=arguments.json, quiet=arguments.quiet)
        judge = await stack.enter_async_context(predicate(wanted, api, arguments))
        between, judge = await bisection(api.session, judge, good, bad, task)
        if arguments.scan:
            api.cursor.spaces.everywhere = arguments.everywhere
            return await _scan(api, judge, between, report)
        ours = _head(api, wanted, good, bad, task)
        if head and replace(head, recording=ours.recording) != ours:
            raise UsageError(
                f"{arguments.resume} is the log of another bisect, or of another recording than {recording}."
            )
        log = _log(arguments, ours)
        if log:
            stack.enter_context(log)
        return await _bisect(api, judge, between, known, log, report, arguments.checks)


async def _bisect(
    api: AsyncReplay, judge: Predicate, between: Bisection, known: Sequence[Probe], log: BisectLog | None,
    report: Report, checks: int,
) -> int:  # fmt: skip
    def note(probe: Probe, left: Bisection) -> None:
        if log:
            log.add(probe)
        report.probe(probe, left)

    bisector = Bisector(api.cursor, judge, between, known, on_probe=note, checks=checks)
    report.begin(between, known)
    try:
        turn = await bisector.run()
    except (Interrupted, asyncio.CancelledError):
        report.interrupted(bisector.bisection, log.name if log else None)
        raise
    except Undecided:
        check_had_value(judge)
        raise
    return await report.turn(turn)


async def _scan(api: AsyncReplay, judge: Predicate, between: Bisection, report: Report) -> int:
    waiting = Waiting(ProgressLine(quiet=report.quiet))
    api.cursor.on_progress = waiting.show
    waiting.begin()
    ever = False
    try:
        good, bad = await Bisector(api.cursor, judge, between).ends()
        async with aclosing(changes(api.cursor, judge, good, bad, between.task)) as found:
            async for change in found:
                waiting.end()
                ever |= report.change(change)
    finally:
        waiting.end()
    report.scanned(between)
    if not ever:
        check_had_value(judge)
        raise Undecided(f"It never turns true between {between.good} and {between.bad}.")
    return 0


async def _ends(api: AsyncReplay, arguments: argparse.Namespace, head: Head | None) -> tuple[Position, Position]:
    good = await api.position_of(arguments.good) if arguments.good else head.good if head else START
    bad = await api.position_of(arguments.bad) if arguments.bad else head.bad if head else api.end
    return good, bad


def _head(api: AsyncReplay, wanted: Asked, good: Position, bad: Position, task: str) -> Head:
    recording = api.cursor.recording
    identity = recording.manifest.checksums[recording.layout.relative(recording.layout.log)]
    return Head(str(recording.layout.root), identity, wanted.kind, wanted.words, good, bad, task)


def _log(arguments: argparse.Namespace, head: Head) -> BisectLog | None:
    if arguments.resume:
        return BisectLog.resume(Path(arguments.resume))
    return BisectLog.create(Path(arguments.log), head) if arguments.log else None
