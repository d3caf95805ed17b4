"""``rrdbg drgn``: drgn's own shell, or a script of its kind, on a recording whose cursor may be moved meanwhile."""

from __future__ import annotations

import argparse
import runpy
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from rrdbg.errors import UsageError
from rrdbg.frontends.api import Replay, open_recording
from rrdbg.frontends.api.drgn_program import require_drgn
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.options import add_budget, add_jobs, add_recording, add_symbols, add_trust
from rrdbg.frontends.shared.progress import ProgressLine

_DESCRIPTION = """
Start drgn on the memory of a recorded Linux guest, at the cursor: 'prog' is drgn's program, 'replay' the recording in
rrdbg's Python API, and after replay.seek(POSITION) prog reads the memory there. Types and drgn's helpers need --symbols
vmlinux. After -- comes a script in the place of the shell, and its arguments.
"""
_BANNER = "\n'replay' is the recording: after replay.seek('50%') or replay.cont() all is read there."


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "drgn", help="start drgn on a recorded Linux guest", description=_DESCRIPTION,
        usage="rrdbg drgn [-h] [options] [recording] [-- SCRIPT [ARGUMENT...]]",
    )  # fmt: skip
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--at", metavar="POSITION", default="end", help="where to begin (default: end)")
    add_symbols(parser)
    add_budget(parser)
    add_jobs(parser)
    parser.set_defaults(run=run, passes_on=True)


async def run(arguments: argparse.Namespace) -> int:
    """Run drgn and return the exit status. The event loop of this thread stands still: the recording has its own.

    :raises UsageError: drgn is not there, or there is no Linux kernel, or no such script.
    """
    require_drgn()
    waiting = Waiting(ProgressLine())
    with _own_signals():
        replay = open_recording(
            arguments.recording, symbols=arguments.symbols, snapshot_budget=arguments.snapshot_budget,
            trust=arguments.trust, jobs=arguments.jobs, dask=arguments.dask,
        )  # fmt: skip
        with replay:
            replay.on_progress = waiting.show
            waiting.begin()
            replay.seek(arguments.at)
            replay.drgn()
            waiting.end()
            return _script(replay, arguments.theirs) if arguments.theirs else _shell(replay)


def _shell(replay: Replay) -> int:
    from drgn.cli import run_interactive

    run_interactive(replay.drgn(), lambda banner: banner + _BANNER, lambda names: {**names, "replay": replay})
    return 0


def _script(replay: Replay, words: list[str]) -> int:
    """Run a script as drgn does, whose errors are its own."""
    import drgn

    drgn.set_default_prog(replay.drgn())
    before, sys.argv = sys.argv, words
    try:
        runpy.run_path(words[0], {"prog": replay.drgn(), "replay": replay}, "__main__")
    except FileNotFoundError as error:
        if error.filename != words[0]:
            raise
        raise UsageError(f"There is no script {words[0]}.") from None
    except Exception:  # noqa: BLE001  # whatever the user's script raises is shown to him as Python shows it
        traceback.print_exc()
        return 1
    finally:
        sys.argv = before
    return 0


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ctrl-C is for drgn's shell, which has Python's; and what would end us ends the shell, too."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: end, signal.SIGHUP: end}
    before = {
        number: signal.signal(number, handler)
        for number, handler in wanted.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
