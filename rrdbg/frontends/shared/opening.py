"""The command-line options that every front end has which opens a recording."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rrdbg.commands.program import HEADER, recorded_program
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.parallel.cluster import ClusterExecutor
from rrdbg.engine.search.parallel.executor import Executor
from rrdbg.engine.search.parallel.local import LocalExecutor
from rrdbg.errors import UsageError
from rrdbg.links.gdb_choice import USUAL
from rrdbg.model.program.architecture import is_elf, other_architecture
from rrdbg.model.size import parse_size
from rrdbg.store.library import Library
from rrdbg.store.recording import Recording, adopt

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


def symbols_of(recording: Recording, given: str | None) -> Path | None:
    """The file to read symbols from: the one that was given, or the recorded kernel if that is an ELF file.

    :raises UsageError: there is no such file, or it is one for another architecture.
    """
    guest = recording.manifest.invocation.architecture
    if given:
        if not Path(given).is_file():
            raise UsageError(f"There is no file {given} to read symbols from.")
        with Path(given).open("rb") as chosen:
            header = chosen.read(HEADER)
        if not is_elf(header):
            raise UsageError(f"{given} is no ELF file; give the one that the guest's program was linked into.")
        if other := other_architecture(header, guest):
            raise UsageError(
                f"{given} is for {other}, and this is a guest of {guest}; give the file of its own program."
            )
        return Path(given).absolute()
    return recorded_program(recording)


async def open_replay(arguments: argparse.Namespace, *, spares: int = 0) -> Replay:
    """Open the recording that the command line names, with at most ``spares`` machines ahead of the next movement.

    :raises RecordingError: it cannot be used.
    :raises QemuLaunchError: its QEMU is missing.
    """
    return await open_with_workers(
        find_recording(arguments), arguments.jobs, arguments.dask,
        budget=arguments.snapshot_budget, spares=spares, client=arguments.subcommand,
    )  # fmt: skip


async def open_with_workers(
    path: Path, jobs: int, dask: str | None, *, budget: int | None, spares: int, client: str
) -> Replay:
    """Open the recording at ``path``, with long searches shared out among ``jobs`` processes, or a Dask cluster.

    Other sessions in it see this one as ``client``.

    :raises RecordingError: it cannot be used.
    :raises QemuLaunchError: its QEMU is missing.
    :raises LinkError: there is no such cluster.
    """
    executor = await _executor(jobs, dask)
    try:
        return await Replay.open(path, budget=budget, spares=spares, executor=executor, client=client)
    except BaseException:
        if executor:
            await executor.close()
        raise


async def _executor(jobs: int, dask: str | None) -> Executor | None:
    """Who does long searches; None where one process does them alone."""
    if dask:
        return await ClusterExecutor.connect(dask)
    return LocalExecutor(jobs) if jobs > 1 else None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 on.")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
