"""``rrdbg hunt``: record a guest again and again, each time a little different, until it fails."""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from rrdbg.engine.hunt.attempt import Guest, LocalTries, Tries
from rrdbg.engine.hunt.cluster import ClusterTries
from rrdbg.engine.hunt.hunter import Hunter, HuntRequest
from rrdbg.engine.making.recorder import RecordRequest
from rrdbg.engine.making.trial import check
from rrdbg.engine.search.parallel.cluster import Cluster
from rrdbg.errors import Interrupted, LinkError, PluginError, UsageError
from rrdbg.frontends.hunt.beginning import Middle, find_middle
from rrdbg.frontends.hunt.explaining import explain
from rrdbg.frontends.hunt.judging import CriteriaJudge
from rrdbg.frontends.hunt.report import Report
from rrdbg.frontends.shared.options import add_debugger, processors
from rrdbg.model.hunt.criterion import Criterion, parse_criterion
from rrdbg.model.hunt.keys import Keys
from rrdbg.model.hunt.perturbation import (
    ALWAYS,
    BY_THE_HOST,
    IN_THE_MIDDLE,
    Aspect,
    Choices,
    machine_of,
    parse_aspects,
    useful,
    usual,
)
from rrdbg.model.timeline.position import parse_count
from rrdbg.store.library import Library

NOT_FOUND = 3
"""The exit status where no run failed."""

_RUN_SECONDS = 60.0
_PREDICATE_SECONDS = 600.0
_SEEDS = 1_000_000

_DESCRIPTION = """
Record run after run of a guest, each perturbed in another way that hardware may, too, until one fails; keep the
recordings of those that fail, and drop the others. A run ends when the guest powers off, resets itself or panics, at
--until-console or --done-console, or after --timeout. Exit status 0: a failure was found and kept. 3: none was found.
1: something went wrong. 2: wrong usage. 130: interrupted; what was found until then is kept.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "hunt", help="record a guest again and again until it fails", description=_DESCRIPTION,
        usage="rrdbg hunt [options] (--until-console TEXT | --if KIND=VALUE ...) "
        "(--from RECORDING@POSITION | -- qemu-system-x86_64 ARGUMENT...)",
    )  # fmt: skip
    parser.add_argument("--until-console", metavar="TEXT", help="a run has failed, and ends, once it prints TEXT")
    parser.add_argument(
        "--done-console", metavar="TEXT", help="a run is over once it prints TEXT, and has not failed by that"
    )
    parser.add_argument(
        "--type", dest="keys", nargs=2, action="append", default=[], metavar=("PROMPT", "TEXT"),
        help="once the guest has printed PROMPT, type TEXT and return; may be given several times, one after another",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="begin", metavar="RECORDING@POSITION",
        help="go on from a place in a recording, again and again, and not from the start of a guest",
    )  # fmt: skip
    parser.add_argument(
        "--if", dest="criteria", action="append", default=[], metavar="KIND=VALUE",
        help="a run has failed if this holds at its end: expr=EXPR, memory=ADDRESS:LENGTH==HEX, console=TEXT, "
        "python=FILE:FUNCTION, run=COMMAND (as for 'rrdbg bisect'), or ended=timeout|panic|reset|poweroff; "
        "may be given several times",
    )  # fmt: skip
    parser.add_argument("--runs", type=int, metavar="N", help="end after N runs")
    parser.add_argument("--minutes", type=float, metavar="M", help="end after M minutes")
    parser.add_argument(
        "--jobs", type=int, metavar="J", default=processors(), help="runs at a time (default: one a processor)"
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS",
        help="make the runs on a Dask cluster, whose workers have QEMU and the guest's files",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=int, default=1, metavar="N", help="keep N failed runs, and then end (default: 1)"
    )
    parser.add_argument("--go-on", action="store_true", help="do not end then, but count how many fail")
    parser.add_argument(
        "--below", type=_rate, metavar="RATE",
        help="end when it is shown that less than RATE of the runs fail (0.001, 1/1000), with --confidence",
    )  # fmt: skip
    parser.add_argument(
        "--confidence", type=float, default=95.0, metavar="PERCENT", help="of what is told of rates (default: 95)"
    )
    parser.add_argument(
        "--seed", metavar="S[:RUN]", help="what the perturbations are chosen from, and the first run (default: any)"
    )
    parser.add_argument(
        "--vary", metavar="ASPECT,...", help=f"what may differ: {', '.join(ALWAYS)} (with --from: "
        f"{', '.join(IN_THE_MIDDLE)}); or none"
    )  # fmt: skip
    parser.add_argument(
        "--repeatable", action="store_true",
        help="let idle time end at once in all runs, so that --seed S:RUN makes the very same run again",
    )  # fmt: skip
    parser.add_argument(
        "--memory", action="append", default=[], metavar="SIZE", help="a value of -m that runs may have; several times"
    )
    parser.add_argument(
        "--cpu", action="append", default=[], metavar="MODEL", help="a value of -cpu that runs may have; several times"
    )
    parser.add_argument(
        "--timeout", type=float, default=_RUN_SECONDS, metavar="SECONDS", help="end a run after SECONDS (default: 60)"
    )
    parser.add_argument("--max-icount", metavar="N", help="end a run after about N instructions (1e9)")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where recordings are kept (default: the library)")
    parser.add_argument(
        "--name", metavar="NAME", default="hunt", help="what they are called: NAME-1, ... (default: hunt)"
    )
    parser.add_argument(
        "--no-explain", action="store_true",
        help="make no more runs afterwards to see what the failure needs, and where a run that passes parts from it",
    )  # fmt: skip
    parser.add_argument("--no-check", action="store_true", help="do not try first whether this guest can be replayed")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    add_debugger(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- QEMU ARGUMENT...", help="the guest")
    parser.set_defaults(run=run, passes_on=True)


async def run(arguments: argparse.Namespace) -> int:
    """Hunt, and tell what was found."""
    async with AsyncExitStack() as stack:
        request = await _request(arguments, stack)
        judge = CriteriaJudge(_criteria(arguments), _judging(arguments))
        tries = await _tries(arguments, request.guest, judge)
        try:
            return await _hunt(arguments, request, judge, tries)
        finally:
            await tries.close()


async def _hunt(arguments: argparse.Namespace, request: HuntRequest, judge: CriteriaJudge, tries: Tries) -> int:
    if not arguments.no_check and request.guest.beginning is None:
        plain = request.choices.of_run(request.seed, 0)
        await check(RecordRequest(plain.words(request.guest.command), Path(), plain.rate))
    report = Report(json=arguments.json, quiet=arguments.quiet)
    library = Library(Path(arguments.output)) if arguments.output else Library.default()
    hunter = Hunter(request, tries, library, arguments.name, report.run, report.broken)
    report.begin(hunter)
    try:
        reason = await hunter.run()
    except (Interrupted, asyncio.CancelledError):
        report.end(None)
        raise
    finally:
        if hunter.kept and hunter.kept[-1].recording:
            Library.default().mark_latest(hunter.kept[-1].recording)
    report.end(reason)
    if hunter.kept and not arguments.no_explain:
        try:
            await explain(hunter.kept[0], hunter.request.guest, judge, library, report, arguments)
        except LinkError as error:
            # A failure was found all the same, which is what the exit status tells.
            report.unexplained(error)
    return 0 if hunter.kept else NOT_FOUND


async def _tries(arguments: argparse.Namespace, guest: Guest, judge: CriteriaJudge) -> Tries:
    """Who makes the runs: this machine, or a cluster."""
    if not arguments.dask:
        return LocalTries(judge, arguments.jobs)
    if guest.beginning:
        invocation = guest.beginning.invocation
    else:
        invocation = machine_of(guest.command)
    programs = (known.value for known in _criteria(arguments) if known.kind == "python")
    for source in (
        *(file.source for file in invocation.bundled), *(disk.source for disk in invocation.disks), *programs,
        *([arguments.symbols] if arguments.symbols else []),
    ):  # fmt: skip
        if not Path(source).is_absolute():
            raise UsageError(f"With --dask, write {source} as an absolute path, by which each worker finds it.")
    return ClusterTries(await Cluster.connect(arguments.dask), judge)


async def _request(arguments: argparse.Namespace, stack: AsyncExitStack) -> HuntRequest:
    command: Sequence[str] = [*arguments.command, *arguments.theirs]
    if not command and not arguments.begin:
        raise UsageError("A QEMU command is missing; write: rrdbg hunt --until-console TEXT -- qemu-system-x86_64 ...")
    if command and arguments.begin:
        raise UsageError("--from goes on with the guest of that recording: give no QEMU command.")
    for name in ("runs", "minutes", "jobs", "keep", "timeout"):
        value = getattr(arguments, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UsageError(f"--{name} must be more than 0.")
    if not 0 < arguments.confidence < 100:
        raise UsageError("--confidence is a number of percent, more than 0 and less than 100.")
    seed, first = _seed(arguments.seed)
    keys = _keys(arguments, command)
    middle: Middle | None = None
    if arguments.begin:
        if arguments.memory or arguments.cpu:
            raise UsageError("--memory and --cpu are what a machine starts with, and --from goes on with one.")
        aspects = parse_aspects(arguments.vary or ",".join(IN_THE_MIDDLE))
        if wrong := [aspect for aspect in aspects if aspect not in IN_THE_MIDDLE]:
            raise UsageError(f"With --from runs can differ in {', '.join(IN_THE_MIDDLE)}, and not in {wrong[0]}.")
        middle = await find_middle(arguments.begin, stack)
        command = middle.command
    else:
        aspects = _aspects(arguments, command)
    choices = Choices(aspects, tuple(arguments.memory), tuple(arguments.cpu), arguments.repeatable)
    until = tuple(text for text in (arguments.until_console, arguments.done_console) if text)
    longest = parse_count(arguments.max_icount) if arguments.max_icount else None
    guest = Guest(command, until, arguments.timeout, longest, keys=keys)
    if middle:
        guest = replace(guest, beginning=middle.beginning)
        if Aspect.PLACE in aspects:
            guest, choices = await _with_places(arguments, middle, guest, choices)
    return HuntRequest(
        guest, seed, choices, first, arguments.runs,
        arguments.minutes and 60 * arguments.minutes, arguments.keep, arguments.go_on, arguments.below,
        arguments.confidence / 100,
    )  # fmt: skip


async def _with_places(
    arguments: argparse.Namespace, middle: Middle, guest: Guest, choices: Choices
) -> tuple[Guest, Choices]:
    """The same with places of their own for the runs, if there can be some and nobody has asked for them by name."""
    if arguments.dask:
        if arguments.vary:
            raise UsageError("With --dask all runs begin at one place, whose state each worker has; leave 'place' out.")
        why = "With --dask all runs begin at one place."
    else:
        try:
            places = await middle.places()
            return replace(guest, beginnings=middle.beginnings), replace(choices, places=places)
        except PluginError as error:
            if arguments.vary:
                raise
            why = f"All runs begin at one place: {error}"
    if not arguments.quiet and not arguments.json:
        print(why, file=sys.stderr)
    left = tuple(aspect for aspect in choices.aspects if aspect is not Aspect.PLACE)
    return guest, replace(choices, aspects=left)


def _keys(arguments: argparse.Namespace, command: Sequence[str]) -> tuple[Keys, ...]:
    """What is typed to the guest."""
    keys = tuple(Keys(prompt.encode(), text.encode()) for prompt, text in arguments.keys)
    if keys and arguments.begin:
        raise UsageError("With --from nobody types to the guest; leave --type out.")
    if keys and not machine_of(command).line.types:
        raise UsageError("--type needs a serial port to type to: give QEMU -serial stdio or -nographic.")
    if any(not known.prompt for known in keys):
        raise UsageError("--type needs a PROMPT that the guest prints before it is typed to.")
    if keys and arguments.repeatable:
        raise UsageError("--repeatable leaves no part to the host, and what is typed goes by its clock.")
    return keys


def _aspects(arguments: argparse.Namespace, command: Sequence[str]) -> tuple[Aspect, ...]:
    """What runs from the start of the machine differ in."""
    listed = [aspect for aspect, given in ((Aspect.MEMORY, arguments.memory), (Aspect.CPU, arguments.cpu)) if given]
    typed = bool(arguments.keys)
    chosen = (
        useful(parse_aspects(arguments.vary), command, typed=typed) if arguments.vary else usual(command, typed=typed)
    )
    if arguments.repeatable:
        if arguments.vary and (wrong := [aspect for aspect in chosen if aspect in BY_THE_HOST]):
            raise UsageError(f"--repeatable leaves no part to the host, and '{wrong[0]}' goes by its clock.")
        chosen = tuple(aspect for aspect in chosen if aspect not in BY_THE_HOST)
    return tuple(dict.fromkeys((*chosen, *listed)))


def _criteria(arguments: argparse.Namespace) -> list[Criterion]:
    criteria = [parse_criterion(text) for text in arguments.criteria]
    if arguments.until_console:
        criteria.append(Criterion("console", arguments.until_console))
    if not criteria:
        raise UsageError("When has a run failed? Give --until-console TEXT, or --if KIND=VALUE.")
    return criteria


def _judging(arguments: argparse.Namespace) -> argparse.Namespace:
    """The options that bisect's predicates look at."""
    return argparse.Namespace(
        timeout=_PREDICATE_SECONDS, symbols=arguments.symbols, quiet=True, no_gdb=arguments.no_gdb,
        gdb_program=arguments.gdb_program, done_console=arguments.done_console,
    )  # fmt: skip


def _seed(text: str | None) -> tuple[int, int]:
    """The seed, and the number of the first run."""
    if text is None:
        return random.randrange(_SEEDS), 0
    seed, _, first = text.partition(":")
    if not seed.isdecimal() or (first and not first.isdecimal()):
        raise UsageError(f"--seed {text}: write a number, or SEED:RUN to begin with that run.")
    return int(seed), int(first or 0)


def _rate(text: str) -> float:
    try:
        rate = float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        rate = 0.0
    if not 0 < rate < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a share between 0 and 1, such as 0.001 or 1/1000.")
    return rate
