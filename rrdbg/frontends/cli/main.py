"""The command ``rrdbg``: reads the command line, runs a subcommand, turns errors into exit statuses.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 a bisect has no single answer or a hunt found nothing, 4 the replay
diverged, 130 interrupted, 143 ended by SIGTERM, 129 by SIGHUP, when a terminal closes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from rrdbg.errors import Interrupted, RrdbgError
from rrdbg.model.shown import shown

_CLI = "rrdbg.frontends.cli"
_BISECT = "rrdbg.frontends.bisect"

_ASKED_BY_SHELL = "_ARGCOMPLETE"
"""In the environment when a shell asks what may come next (argcomplete)."""

SUBCOMMANDS = {
    "record": f"{_CLI}.record",
    "replay": f"{_CLI}.replay",
    "import": f"{_CLI}.importing",
    "attach": f"{_CLI}.attach",
    "serve": f"{_CLI}.serve",
    "dap": f"{_CLI}.dap",
    "mcp": f"{_CLI}.mcp",
    "gdb": f"{_CLI}.gdb",
    "bisect": _BISECT,
    "bisect-boot": f"{_BISECT}.boots",
    "hunt": "rrdbg.frontends.hunt",
    "doctor": f"{_CLI}.doctor",
    "gdbinit": f"{_CLI}.gdbinit",
    "completion": f"{_CLI}.completion",
    **dict.fromkeys(("index", "verify"), f"{_CLI}.index"),
    **dict.fromkeys(("ls", "info", "rm", "pack", "unpack"), f"{_CLI}.library"),
    **dict.fromkeys(("events", "console"), f"{_CLI}.events"),
    "timeline": f"{_CLI}.timeline",
    "web": f"{_CLI}.web",
    "modules": f"{_CLI}.modules",
    "strace": f"{_CLI}.strace",
    "profile": f"{_CLI}.profile",
    "cover": f"{_CLI}.cover",
    "ftrace": f"{_CLI}.ftrace",
    "dump": f"{_CLI}.dump",
    "drgn": f"{_CLI}.drgn",
}
"""Where each subcommand is declared, by an ``add_parser``; a module may declare several."""


def main(words: Sequence[str] | None = None) -> int:
    """Run ``rrdbg WORDS...`` and return its exit status."""
    ours, theirs = split(sys.argv[1:] if words is None else words)
    parser = parser_for(ours)
    if _ASKED_BY_SHELL in os.environ:
        importlib.import_module(f"{_CLI}.completion").complete(parser)
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


class _Version(argparse.Action):
    """Prints the version. Reading it takes a tenth of a start, so that is left to who asks for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"rrdbg {version('rrdbg')}")
        parser.exit()


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first ``--``, which are for another program; argparse mixes them up."""
    words = list(words)
    if "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command line ``words``: of one subcommand, or of all where they name none."""
    parser = argparse.ArgumentParser(
        prog="rrdbg",
        description="A reverse debugger for QEMU guests: record once, then walk the recording in both directions.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parser.set_defaults(passes_on=False)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="subcommand")
    wanted = next((word for word in words if not word.startswith("-")), "")
    if wanted and wanted not in SUBCOMMANDS:
        from rrdbg.model.mistyped import meant

        if asked := meant(wanted, SUBCOMMANDS):
            parser.error(f"there is no command '{wanted}'; {asked}")
    # Reading all of them takes 0.3 s; somebody who wants help, or has mistyped, sees the whole list.
    for module in [SUBCOMMANDS[wanted]] if wanted in SUBCOMMANDS else dict.fromkeys(SUBCOMMANDS.values()):
        importlib.import_module(module).add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
