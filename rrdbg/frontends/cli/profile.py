"""``rrdbg profile``: what a guest has done with its instructions, found out of its recording."""

from __future__ import annotations

import argparse
from contextlib import aclosing

from rrdbg.commands.arguments import read_stretch
from rrdbg.commands.program import Names, program_of
from rrdbg.commands.samples import stack_sample, who_runs
from rrdbg.commands.scope import task_runs
from rrdbg.commands.session import Session
from rrdbg.engine.queries.profile import profile
from rrdbg.engine.queries.sampling import instructions, spacing
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import open_replay, symbols_of
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_stretch, add_symbols, add_trust
from rrdbg.frontends.shared.output_file import output_to
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.results import StackSample
from rrdbg.model.timeline.position import parse_count
from rrdbg.render.json_lines import to_json
from rrdbg.render.profile import collapsed, perf_script

_DESCRIPTION = """
Take the guest's stack at every so many instructions of a recording: exact, without skid, and the same each time. The
output is 'perf script' text, which Perfetto, the Firefox Profiler, speedscope and FlameGraph open; a nanosecond in it
is an instruction, so a time without its point is a position for 'seek'.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "profile", help="where a recorded guest spends its instructions", description=_DESCRIPTION
    )
    add_recording(parser)
    add_trust(parser)
    parser.add_argument(
        "--every",
        type=_instructions,
        metavar="N",
        help="instructions from one sample to the next (default: about 1000 samples)",
    )
    parser.add_argument("--task", metavar="NAME|PID", default="", help="stacks of this task of a Linux guest only")
    add_stretch(parser)
    add_symbols(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--collapsed", action="store_true", help="collapsed stacks, a line for each, at the end")
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file, which is not to be there yet")
    add_budget(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Take the samples and write them.

    :raises UsageError: the guest's stacks cannot be read, or the output is there already.
    """
    waiting = Waiting(ProgressLine(quiet=arguments.json))
    kept: list[StackSample] = []
    with output_to(arguments.output) as file:
        async with await open_replay(arguments) as replay:
            session = Session(replay)
            symbols = symbols_of(replay.recording, arguments.symbols)
            program = await program_of(replay, symbols)
            names = Names(program)
            _, start, end = await read_stretch(session, f"profile from {arguments.start} to {arguments.end}")
            replay.on_progress = waiting.show
            waiting.begin()
            runs = await task_runs(session, arguments.task, start, end)
            who = await who_runs(session)
            every = arguments.every or spacing(instructions(start, end, runs))
            samples = profile(replay, every, start, end, program.frames if program else None, who, runs)
            async with aclosing(samples):
                async for sample in samples:
                    named = await stack_sample(names, sample, every)
                    if arguments.collapsed:
                        kept.append(named)
                        continue
                    waiting.end()
                    file.write(to_json(named) + "\n" if arguments.json else perf_script(named))
        waiting.end()
        file.write(collapsed(kept))
    return 0


def _instructions(text: str) -> int:
    count = parse_count(text)
    if count < 1:
        raise UsageError("Samples are at least one instruction apart; write --every 1000000 or 1e6.")
    return count
