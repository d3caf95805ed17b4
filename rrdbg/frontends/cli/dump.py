"""``rrdbg dump``: a guest's memory at a position, for the tools that read cores of kernels."""

from __future__ import annotations

import argparse
from pathlib import Path

from rrdbg.commands.arguments import read_position
from rrdbg.commands.session import Session
from rrdbg.engine.linux.dump import dump_core
from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import open_replay
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_trust
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.size import size_text

_DUMP = """
Write the guest's memory at a position to an ELF core, which crash and drgn open. Of a Linux guest the kernel's own
notes (VMCOREINFO) are added, whether the machine had such a device or not.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("dump", help="write the guest's memory at a position to a core", description=_DUMP)
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--at", metavar="POSITION", default="end", help="the position (default: end)")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the core to write; not to be there yet")
    add_budget(parser)
    add_jobs(parser)
    parser.set_defaults(run=run_dump)


async def run_dump(arguments: argparse.Namespace) -> int:
    """Write the core.

    :raises UsageError: there is such a file, or no such position.
    """
    target = Path(arguments.output).absolute()
    if target.exists():
        raise UsageError(f"{target} exists already; name another file.")
    waiting = Waiting(ProgressLine())
    async with await open_replay(arguments) as replay:
        replay.on_progress = waiting.show
        waiting.begin()
        kernel = await kernel_of(replay)
        await replay.seek(await read_position(Session(replay), arguments.at))
        waiting.end()
        has_notes = await dump_core(await replay.machine(), kernel, target)
    notes = "" if has_notes else " It has no VMCOREINFO: no Linux kernel has written its own by then."
    print(f"The guest's memory at {arguments.at} is {target} ({size_text(target.stat().st_size)}).{notes}")
    return 0
