"""``rrdbg dump`` and ``rrdbg drgn``: a guest's memory at a position, for the tools that read cores of kernels."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import shutil
import signal
import sys
from pathlib import Path

from rrdbg.commands.arguments import read_position
from rrdbg.commands.session import Session
from rrdbg.engine.linux.dump import dump_core
from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.opening import add_budget, add_jobs, add_recording, add_trust, open_replay
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.size import size_text
from rrdbg.store.workfolder import WorkFolder

_DUMP = """
Write the guest's memory at a position to an ELF core, which crash and drgn open. Of a Linux guest the kernel's own
notes (VMCOREINFO) are added, whether the machine had such a device or not.
"""
_DRGN = """
Start drgn on the memory of a recorded Linux guest at a position, of which a core is written and removed again.
Everything after -- goes to drgn: the kernel's symbols with -s, a script.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommands."""
    parser = commands.add_parser("dump", help="write the guest's memory at a position to a core", description=_DUMP)
    _add_common(parser)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the core to write; not to be there yet")
    parser.set_defaults(run=run_dump)
    parser = commands.add_parser(
        "drgn", help="start drgn on a recorded Linux guest", description=_DRGN,
        usage="rrdbg drgn [-h] [options] [recording] [-- DRGN ARGUMENT...]",
    )  # fmt: skip
    _add_common(parser)
    parser.set_defaults(run=run_drgn, passes_on=True)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--at", metavar="POSITION", default="end", help="the position (default: end)")
    add_budget(parser)
    add_jobs(parser)


async def run_dump(arguments: argparse.Namespace) -> int:
    """Write the core.

    :raises UsageError: there is such a file, or no such position.
    """
    target = Path(arguments.output).absolute()
    has_notes = await _dump(arguments, target)
    notes = "" if has_notes else " It has no VMCOREINFO: no Linux kernel has written its own by then."
    print(f"The guest's memory at {arguments.at} is {target} ({size_text(target.stat().st_size)}).{notes}")
    return 0


async def run_drgn(arguments: argparse.Namespace) -> int:
    """Run drgn and return its exit status.

    :raises UsageError: it is not installed, or there is no Linux kernel at that position.
    """
    program = _drgn()
    with WorkFolder() as folder:
        core = folder / "core"
        if not await _dump(arguments, core):
            raise UsageError(
                f"No Linux kernel has written its VMCOREINFO by {arguments.at}, without which drgn knows none; it does "
                "so in the middle of its boot: name a later position."
            )
        # Ctrl-C on the terminal is for drgn.
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        try:
            process = await asyncio.create_subprocess_exec(*program, "-c", str(core), *arguments.theirs)
            return await process.wait()
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _drgn() -> list[str]:
    if found := shutil.which("drgn"):
        return [found]
    if importlib.util.find_spec("drgn"):
        return [sys.executable, "-m", "drgn"]
    raise UsageError("drgn is not installed; on Debian: apt-get install python3-drgn, or pip install 'rrdbg[drgn]'.")


async def _dump(arguments: argparse.Namespace, target: Path) -> bool:
    if target.exists():
        raise UsageError(f"{target} exists already; name another file.")
    waiting = Waiting(ProgressLine())
    async with await open_replay(arguments) as replay:
        replay.on_progress = waiting.show
        waiting.begin()
        kernel = await kernel_of(replay)
        await replay.seek(await read_position(Session(replay), arguments.at))
        waiting.end()
        return await dump_core(await replay.machine(), kernel, target)
