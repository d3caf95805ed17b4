"""The command ``rrdbg``: reads the command line, runs a subcommand, turns errors into exit statuses.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 a bisect has no single answer, 4 the replay diverged, 130 interrupted,
143 ended by SIGTERM, 129 by SIGHUP, when a terminal closes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

from rrdbg.errors import Interrupted, RrdbgError
from rrdbg.frontends import bisect
from rrdbg.frontends.bisect import boots
from rrdbg.frontends.cli import (
    attach,
    doctor,
    dump,
    events,
    gdb,
    gdbinit,
    importing,
    index,
    library,
    record,
    replay,
    serve,
    strace,
    timeline,
)
from rrdbg.model.shown import shown


def main(words: Sequence[str] | None = None) -> int:
    """Run ``rrdbg WORDS...`` and return its exit status."""
    ours, theirs = _split(sys.argv[1:] if words is None else words)
    parser = _parser()
    arguments = parser.parse_args(ours, argparse.Namespace(theirs=theirs))
    if theirs and not arguments.passes_on:
        parser.error(f"nothing may follow -- here: {' '.join(theirs)}")
    try:
        return asyncio.run(_run(arguments))
    except RrdbgError as error:
        if arguments.debug:
            raise
        print(shown(f"rrdbg: {error}"), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if arguments.debug:
            raise
        with contextlib.suppress(OSError):
            print(f"rrdbg: {error}", file=sys.stderr)
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has gone; Python would complain again while it closes standard output.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("rrdbg: interrupted", file=sys.stderr)
        return 130


async def _run(arguments: argparse.Namespace) -> int:
    """Run the subcommand; a signal that would end us ends it in order, with all that it has started."""
    task = asyncio.current_task()
    assert task is not None
    ended: list[int] = []

    def end(number: int) -> None:
        ended.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        return int(await arguments.run(arguments))
    except (asyncio.CancelledError, Interrupted):
        if not ended:
            raise
        return 128 + ended[0]


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first ``--``, which are for another program; argparse mixes them up."""
    words = list(words)
    if "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rrdbg",
        description="A reverse debugger for QEMU guests: record once, then walk the recording in both directions.",
    )
    parser.add_argument("--version", action="version", version=f"rrdbg {version('rrdbg')}")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parser.set_defaults(passes_on=False)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    record.add_parser(commands)
    replay.add_parser(commands)
    importing.add_parser(commands)
    attach.add_parser(commands)
    serve.add_parser(commands)
    gdb.add_parser(commands)
    bisect.add_parser(commands)
    boots.add_parser(commands)
    doctor.add_parser(commands)
    gdbinit.add_parser(commands)
    index.add_parser(commands)
    library.add_parser(commands)
    events.add_parser(commands)
    timeline.add_parser(commands)
    strace.add_parser(commands)
    dump.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
