"""``rrdbg ftrace``: the calls of functions that nobody traced, as the kernel's function tracer writes them."""

from __future__ import annotations

import argparse
from contextlib import aclosing

from rrdbg.commands.arguments import read_stretch
from rrdbg.commands.program import program_of
from rrdbg.commands.session import Session
from rrdbg.engine.queries.calls import calls
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import open_replay, symbols_of
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_stretch, add_symbols, add_trust
from rrdbg.frontends.shared.output_file import output_to
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.links.program_file import ProgramFile
from rrdbg.render.ftrace import TracedCall, ftrace

_DESCRIPTION = """
Find all calls of functions in a recording, and write them as ftrace's text, which Perfetto (ui.perfetto.dev) draws as
slices. A nanosecond in it is an instruction, so a time without its point is a position for 'seek'. Calls are in the
track of their task where the guest's task switches are known ('info switches' finds them).
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "ftrace", help="calls of functions in a recording, for trace viewers", description=_DESCRIPTION
    )
    add_recording(parser)
    add_trust(parser)
    parser.add_argument(
        "-f",
        "--function",
        metavar="NAME",
        action="append",
        required=True,
        help="a function; give it again for more",
    )
    add_stretch(parser)
    add_symbols(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file, which is not to be there yet")
    add_budget(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Find the calls and write them, in the order of time.

    :raises UsageError: there is no such function, or how calls are made here is not known.
    """
    waiting = Waiting(ProgressLine())
    found: list[TracedCall] = []
    with output_to(arguments.output) as file:
        async with await open_replay(arguments) as replay:
            session = Session(replay)
            program = await program_of(replay, symbols_of(replay.recording, arguments.symbols))
            entries = {name: _entry(program, name) for name in dict.fromkeys(arguments.function)}
            _, start, end = await read_stretch(session, f"ftrace from {arguments.start} to {arguments.end}")
            replay.on_progress = waiting.show
            for name, entry in entries.items():
                waiting.begin()
                try:
                    async with aclosing(calls(replay, entry, [], [], start, end)) as listed:
                        async for call in listed:
                            task = session.linux.task_at(call.position)
                            found.append(TracedCall(name, call.position, call.end, task))
                finally:
                    waiting.end()
        file.write(ftrace(found))
    return 0


def _entry(program: ProgramFile | None, name: str) -> int:
    if program is None:
        raise UsageError("Nothing tells of functions here; name an ELF file with --symbols.")
    places = [function.address for function in program.functions.all if function.name == name]
    if len(places) != 1:
        count = "no function" if not places else f"{len(places)} functions"
        raise UsageError(f"There is {count} {name} in {program.extent.path}.")
    return places[0]
