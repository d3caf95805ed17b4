"""``rrdbg cover``: which code of a guest was executed, and when first, found out of its recording."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rrdbg.commands.arguments import read_stretch
from rrdbg.commands.program import line_table_of, program_of
from rrdbg.commands.session import Session
from rrdbg.engine.queries.coverage import coverage
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import open_replay, symbols_of
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_stretch, add_symbols, add_trust
from rrdbg.frontends.shared.output_file import create
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.program.code import Function, Functions
from rrdbg.model.program.coverage import Covered, CoveredFunction, LineRange, SourceLine
from rrdbg.model.results import CoveredCode, CoveredLine
from rrdbg.model.shown import shown
from rrdbg.model.timeline.position import Position
from rrdbg.render.coverage import drcov, lcov
from rrdbg.render.json_lines import to_json
from rrdbg.render.text import render

_DESCRIPTION = """
List the functions that a recorded guest has executed, in the order of their first time, each with its position and how
many of its bytes were. One pass with the plugin in QEMU; addresses are virtual, and processes are not told apart.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "cover", help="which code a recorded guest has executed, and when first", description=_DESCRIPTION
    )
    add_recording(parser)
    add_trust(parser)
    add_stretch(parser)
    add_symbols(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--lines", action="store_true", help="lines of source instead of functions (needs pyelftools)")
    parser.add_argument("--lcov", metavar="FILE", help="write an lcov tracefile: lines, functions (needs pyelftools)")
    parser.add_argument("--drcov", metavar="FILE", help="write the blocks of code as a drcov log, for disassemblers")
    add_budget(parser)
    add_jobs(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Find out what was executed, and write it.

    :raises UsageError: there is nothing that tells of functions or lines, or a file to write is there already.
    :raises PluginError: QEMU takes no plugin.
    """
    for name in filter(None, (arguments.lcov, arguments.drcov)):
        if Path(name).exists():
            raise UsageError(f"{name} is there already; name another file.")
    waiting = Waiting(ProgressLine(quiet=arguments.json))
    async with await open_replay(arguments) as replay:
        session = Session(replay)
        symbols = symbols_of(replay.recording, arguments.symbols)
        program = await program_of(replay, symbols)
        functions = program.functions if program else Functions([])
        if not functions.all and not arguments.drcov:
            raise UsageError("Nothing tells of functions here; name an ELF file with --symbols, or use --drcov.")
        ranges = await line_table_of(replay, symbols) if arguments.lcov or arguments.lines else []
        _, start, end = await read_stretch(session, f"cover from {arguments.start} to {arguments.end}")
        replay.on_progress = waiting.show
        waiting.begin()
        try:
            blocks = await coverage(replay, start, end)
        finally:
            waiting.end()
    covered = Covered(blocks)
    found, lines = covered.functions(functions.all), covered.lines(ranges)
    if arguments.lcov:
        create(Path(arguments.lcov), lcov(lines, _begun(functions, found, ranges)).encode())
    if arguments.drcov:
        create(Path(arguments.drcov), drcov(blocks, program.extent if program else None))
    for result in _lines(lines) if arguments.lines else map(_code, found):
        print(to_json(result) if arguments.json else shown(render(result)))
    return 0


def _code(covered: CoveredFunction) -> CoveredCode:
    function = covered.function
    return CoveredCode(
        covered.position, function.name, function.address, function.size, covered.executed, covered.exact
    )


def _lines(lines: Mapping[SourceLine, Position | None]) -> Iterator[CoveredLine]:
    """Those that were executed, in the order of their first time."""
    executed = [(position, line.file, line.line) for line, position in lines.items() if position]
    return (CoveredLine(position, file, line) for position, file, line in sorted(executed))


def _begun(
    functions: Functions, found: Sequence[CoveredFunction], ranges: Sequence[LineRange]
) -> Iterator[tuple[Function, SourceLine, bool]]:
    """The functions of which it is known in which line they begin, and whether they were executed."""
    executed = {each.function.address for each in found}
    lines = {each.start: each.line for each in reversed(ranges)}
    for function in functions.all:
        if line := lines.get(function.address):
            yield function, line, function.address in executed
