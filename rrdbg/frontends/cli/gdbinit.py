"""``rrdbg gdbinit``: the line that adds rrdbg's commands to every GDB."""

from __future__ import annotations

import argparse
import shlex
import sys
from importlib.resources import files
from pathlib import Path

_DESCRIPTION = """
Print the line that adds the commands 'rrdbg ...' to GDB. Append it once: rrdbg gdbinit >> ~/.gdbinit
"""
_LOADER = Path(str(files("rrdbg.frontends.gdb"))) / "load.py"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("gdbinit", help="print the line for ~/.gdbinit", description=_DESCRIPTION)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    print(init_line())
    return 0


def source_line() -> str:
    """What GDB is to execute for the commands alone."""
    return f"source {_LOADER}"


def init_line() -> str:
    """The same, and which rrdbg 'rrdbg open' starts: this one."""
    program = f"{shlex.quote(sys.executable)} -P -m rrdbg"
    return f"python gdb.execute({source_line()!r}); gdb.execute({f'set rrdbg program {program}'!r})"
