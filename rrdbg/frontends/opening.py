"""The command-line options that every front end has which opens a recording."""

from __future__ import annotations

import argparse

from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.size import parse_size
from rrdbg.store.library import Library


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Declare the argument ``recording``."""
    parser.add_argument("recording", nargs="?", help="a directory or a name in the library (default: the latest)")


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Declare ``--snapshot-budget`` (``snapshot_budget``, bytes or None)."""
    parser.add_argument(
        "--snapshot-budget", type=_size, metavar="SIZE",
        help="what the snapshots may take on disk, for example 4G (default: a tenth of the free space)",
    )  # fmt: skip


async def open_replay(arguments: argparse.Namespace) -> Replay:
    """Open the recording that the command line names.

    :raises RecordingError: it cannot be used.
    :raises QemuLaunchError: its QEMU is missing.
    """
    return await Replay.open(Library.default().find(arguments.recording), budget=arguments.snapshot_budget)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
