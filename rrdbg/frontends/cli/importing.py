"""``rrdbg import``: make a recording of one that was made without rrdbg."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from rrdbg.engine.making.importer import Importer, ImportProgress, ImportRequest
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.store.library import Library

_DESCRIPTION = """
Make a recording of one that you made with QEMU alone: give its log, and after '--' the command line that you recorded
or replayed with. Your files are only read. The log is replayed to its end twice, to see that it belongs to the command
line and can be travelled in.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "import", help="make a recording of one made without rrdbg", description=_DESCRIPTION,
        usage="rrdbg import [options] [--log FILE] [--image FILE] -- qemu-system-x86_64 ARGUMENT...",
    )  # fmt: skip
    parser.add_argument("--log", metavar="FILE", type=Path, help="the replay log (default: the command line's rrfile=)")
    parser.add_argument(
        "--image", metavar="FILE", type=Path, action="append", default=[],
        help="the image of a drive behind blkreplay, in place of the one that the command line names (again for a "
        "second drive, and so on)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="the recording's directory (default: a new one in the library)"
    )
    parser.add_argument("--name", help="a name for a new recording in the library")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- QEMU ARGUMENT...", help="your command line")
    parser.set_defaults(run=run, passes_on=True)


async def run(arguments: argparse.Namespace) -> int:
    """Import, and tell where the recording is."""
    command = [*arguments.command, *arguments.theirs]
    library = Library.default()
    name = arguments.name or (Path(command[0]).name if command else "")
    directory = Path(arguments.output) if arguments.output else library.fresh(name)
    request = ImportRequest(command, directory, Path.cwd(), arguments.log, arguments.image)
    line = ProgressLine(quiet=arguments.quiet or arguments.json)

    def show(progress: ImportProgress) -> None:
        share = progress.icount / max(progress.total, 1)
        line.show(f"[replay {progress.number} of 2: {share:.0%}, at {progress.icount:,}]")

    importer = Importer(request, show)
    if not arguments.quiet and not arguments.json:
        for finding in importer.handmade.notes:
            print(f"Note: {finding.what} {finding.remedy}", file=sys.stderr)
    try:
        imported = await importer.run()
    finally:
        line.clear()
    library.mark_latest(imported.directory)
    if arguments.json:
        notes = [asdict(finding) for finding in importer.handmade.notes]
        print(json.dumps({**asdict(imported), "directory": str(imported.directory), "notes": notes}))
        return 0
    print(
        f"Imported {imported.icount:,} instructions; {imported.ended}. Two replays came to the same end.\n"
        f"The recording is {imported.directory}\n"
        f"Open it with: rrdbg replay {shlex.quote(str(arguments.output or imported.directory.name))}"
    )
    return 0
