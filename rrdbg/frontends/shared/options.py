"""The command-line options that every front end has which opens a recording, and what they name; no engine yet."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rrdbg.errors import UsageError
from rrdbg.links.gdb_choice import USUAL
from rrdbg.model.size import parse_size
from rrdbg.store.library import Library
from rrdbg.store.recording import adopt

SPARES = 3
"""Spare machines unless told otherwise: for a step back, for a search, and to go to what that has found."""


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Declare the argument ``recording``."""
    parser.add_argument("recording", nargs="?", help="a directory or a name in the library (default: the latest)")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Declare ``--trust``."""
    parser.add_argument(
        "--trust", action="store_true",
        help="take this recording for your own from now on; its command line may make QEMU do anything that you may",
    )  # fmt: skip


def find_recording(arguments: argparse.Namespace) -> Path:
    """The recording that the command line names; with ``--trust`` it is the user's own from now on.

    :raises RecordingError: there is none.
    """
    path = Library.default().find(arguments.recording)
    if arguments.trust:
        adopt(path)
    return path


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Declare ``--snapshot-budget`` (``snapshot_budget``, bytes or None)."""
    parser.add_argument(
        "--snapshot-budget", type=_size, metavar="SIZE",
        help="what the snapshots may take on disk, for example 4G (default: a tenth of the free space)",
    )  # fmt: skip


def add_spares(parser: argparse.ArgumentParser) -> None:
    """Declare ``--spares`` (``spares``)."""
    parser.add_argument(
        "--spares", type=_count, metavar="N", default=SPARES,
        help=f"QEMUs that may be started ahead while nothing moves, in a tenth of the free memory (default: {SPARES})",
    )  # fmt: skip


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Declare ``--jobs`` (``jobs``) and ``--dask`` (``dask``)."""
    parser.add_argument(
        "--jobs", type=_count, metavar="N", default=processors(),
        help="processes that long searches are shared out among (default: as many as there are processors)",
    )  # fmt: skip
    parser.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="share them out on a Dask cluster whose workers see the recording's directory",
    )


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def add_symbols(parser: argparse.ArgumentParser) -> None:
    """Declare ``--symbols``."""
    parser.add_argument(
        "--symbols",
        metavar="FILE",
        help="an ELF file with symbols (default: the recorded kernel, or a Linux guest's own names)",
    )


def add_stretch(parser: argparse.ArgumentParser) -> None:
    """Declare ``--from`` (``start``) and ``--to`` (``end``)."""
    parser.add_argument("--from", metavar="POSITION", dest="start", default="start", help="from there on")
    parser.add_argument("--to", metavar="POSITION", dest="end", default="end", help="up to there")


def add_debugger(parser: argparse.ArgumentParser, program: str = "--gdb") -> None:
    """Declare ``--symbols``, ``--no-gdb`` and the option ``program`` (``gdb_program``)."""
    add_symbols(parser)
    parser.add_argument(
        program,
        dest="gdb_program",
        metavar="PROGRAM",
        help="the GDB to use (default: gdb or gdb-multiarch, whichever knows the guest)",
    )
    parser.add_argument("--no-gdb", action="store_true", help="use no GDB: no symbols, and only rrdbg's own commands")


def gdb_of(arguments: argparse.Namespace) -> str | None:
    """The GDB that the options of :func:`add_debugger` name; None for no GDB."""
    return None if arguments.no_gdb else arguments.gdb_program or USUAL


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 on.")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
