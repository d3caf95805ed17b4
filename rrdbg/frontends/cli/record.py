"""``rrdbg record``: the guest's console on standard output, what rrdbg does on standard error."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
from pathlib import Path

from rrdbg.engine.making.recorder import Recorder, RecordProgress, RecordRequest
from rrdbg.engine.making.trial import check
from rrdbg.errors import UsageError
from rrdbg.frontends.cli.index import index_and_tell
from rrdbg.frontends.cli.typist import Typist
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.machine.serial import LineKind
from rrdbg.model.size import size_text
from rrdbg.model.timeline.position import parse_count
from rrdbg.store.library import Library

_LONG_SECONDS = 10.0
"""A first replay that takes longer is announced."""

_DESCRIPTION = """
Record a guest: run the QEMU command after '--' in record mode, until the guest shuts down, the console
prints a text, a time or an instruction count is reached, or Ctrl-C. With -nographic or -serial stdio,
standard input is typed to the guest. Disk images are never written: the
guest gets overlays, which are kept in the recording.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "record", help="record a guest", description=_DESCRIPTION,
        usage="rrdbg record [options] -- qemu-system-x86_64 ARGUMENT...",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="the recording's directory (default: a new one in the library)"
    )
    parser.add_argument("--name", help="a name for a new recording in the library")
    parser.add_argument("--shift", default="5", help="a guest instruction takes 2^N ns: 0 to 10, or auto (default: 5)")
    parser.add_argument(
        "--snapshot",
        default="replay_init",
        metavar="NAME",
        help="the initial snapshot's name (default: replay_init)",
    )
    parser.add_argument(
        "--no-snapshot",
        action="store_true",
        help="save no initial snapshot: each replay begins with the machine's start, and the guest's disks are "
        "written to temporary overlays",
    )
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="let the guest write to your qcow2 images themselves; the initial snapshot in them holds what they held",
    )
    parser.add_argument("--until-console", metavar="TEXT", help="end when the guest's console has printed TEXT")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="end after SECONDS")
    parser.add_argument("--max-icount", metavar="N", help="end after about N instructions (1e9, 500,000)")
    parser.add_argument(
        "--no-check", action="store_true", help="do not try first, for a second, whether this guest can be replayed"
    )
    parser.add_argument("--index", action="store_true", help="then leave proved snapshots in it, as 'rrdbg index' does")
    parser.add_argument("-q", "--quiet", action="store_true", help="only the guest's console and errors")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- QEMU ARGUMENT...", help="the guest")
    parser.set_defaults(run=run, passes_on=True)


async def run(arguments: argparse.Namespace) -> int:
    """Record, and tell where the recording is."""
    command = [*arguments.command, *arguments.theirs]
    if not command:
        raise UsageError("A QEMU command is missing; write: rrdbg record -- qemu-system-x86_64 ARGUMENTS")
    if arguments.timeout is not None and arguments.timeout <= 0:
        raise UsageError("--timeout must be more than 0 seconds.")
    library = Library.default()
    directory = Path(arguments.output) if arguments.output else library.fresh(arguments.name or Path(command[0]).name)
    request = RecordRequest(
        command, directory, arguments.shift, None if arguments.no_snapshot else arguments.snapshot,
        arguments.until_console, arguments.timeout, parse_count(arguments.max_icount) if arguments.max_icount else None,
        arguments.in_place,
    )  # fmt: skip
    display = _Display(quiet=arguments.quiet)
    recorder = Recorder(request, display.console, display.progress, lambda where: begin(where))
    typist = Typist(recorder.type)

    def begin(where: str) -> None:
        if where:
            display.say(f"The guest's serial port is at {where}")
        if recorder.invocation.line.kind is LineKind.STDIO:
            typist.start()

    display.additions(recorder)
    if not arguments.no_check:
        display.line.show("[trying whether this guest can be replayed]")
        try:
            await check(request)
        finally:
            display.line.clear()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, recorder.stop, f"{number.name} was received")
    try:
        recorded = await recorder.run()
    finally:
        typist.stop()
        display.line.clear()
    library.mark_latest(recorded.directory)
    display.say(
        f"Recorded {recorded.icount:,} instructions in {recorded.seconds:.1f} s "
        f"(log {size_text(recorded.log_bytes)}); ended: {recorded.ended}."
    )
    name = shlex.quote(str(arguments.output or recorded.directory.name))
    display.say(f"The recording is {recorded.directory}")
    if recorded.spins:
        display.say(
            f"This guest waits by spinning: its log has {size_text(recorded.log_bytes)}, and at each event "
            "a replay has to wait for QEMU's threads. Halting, or recording less of the waiting, makes it quicker."
        )
    if arguments.index:
        await index_and_tell(recorded.directory)
    elif recorded.replay_seconds >= _LONG_SECONDS:
        display.say(
            f"To replay all of it the first time will take about {recorded.replay_seconds:.0f} s; after "
            f"'rrdbg index {name}', or with 'rrdbg record --index', any place is reached in less than a second."
        )
    display.say(f"Open it with: rrdbg replay {name}")
    return 0


class _Display:
    def __init__(self, *, quiet: bool) -> None:
        self.line = ProgressLine(quiet=quiet)
        self._quiet = quiet

    def say(self, text: str) -> None:
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def additions(self, recorder: Recorder) -> None:
        invocation = recorder.invocation
        self.say("rrdbg adds to the command line:")
        for addition in invocation.additions:
            self._added(shlex.join(addition.words), addition.reason)
        rate = f"-icount {invocation.pace},rr=record,..."
        self._added(rate, "records every input with its instruction count")
        self._added("-drive if=none,... (an empty qcow2)", "holds the snapshots")
        for disk in invocation.disks:
            filters = "" if disk.waits else "blkreplay"
            if disk.read_only:
                self._added(filters or "nothing", f"over {disk.source}, which is only read")
            elif recorder.in_place:
                self._added(filters or "nothing", f"over {disk.source}, WHICH THE GUEST WRITES TO")
            else:
                self._added("an overlay" + (filters and f" and {filters}"), f"over {disk.source}, which is only read")

    def _added(self, words: str, reason: str) -> None:
        self.say(f"  {words:<42} {reason}")

    def console(self, data: bytes) -> None:
        self.line.clear()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def progress(self, progress: RecordProgress) -> None:
        self.line.show(
            f"[recording: {progress.icount:,} instructions, {progress.seconds:.1f} s, "
            f"log {size_text(progress.log_bytes)}]"
        )
