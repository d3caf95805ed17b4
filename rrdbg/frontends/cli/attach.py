"""``rrdbg attach``: the shell on a QEMU in replay mode that the user started, and that goes on when we leave."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rrdbg.engine.attach import attach
from rrdbg.frontends.repl.session import add_work, read_work, work
from rrdbg.frontends.shared.options import add_budget
from rrdbg.links.address import Address
from rrdbg.links.attached import AttachedQemu

_DESCRIPTION = """
Travel in a QEMU that you started yourself, for example with -icount shift=1,rr=replay,rrfile=LOG,rrsnapshot=TAG -S
-qmp unix:PATH,server=on,wait=off -gdb unix:PATH,server=on,wait=off. Snapshots are loaded inside it: those in its disk
images, to which rrdbg adds none unless it is allowed to. At the end QEMU is left running, with the guest stopped.
Bookmarks last as long as the session.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("attach", help="travel in a QEMU that you started", description=_DESCRIPTION)
    parser.add_argument("--qmp", metavar="SOCKET", required=True, help="where its QMP listens: unix:PATH or HOST:PORT")
    parser.add_argument("--gdb", metavar="ADDRESS", required=True, help="where its gdbstub listens")
    parser.add_argument(
        "--log", metavar="FILE", type=Path, help="the replay log, if QEMU's name for it means nothing here"
    )
    parser.add_argument("--console", metavar="FILE", type=Path, help="what the guest printed while it was recorded")
    parser.add_argument(
        "--save-snapshots", action="store_true",
        help="travel faster by snapshots in QEMU's own images; they are deleted at the end, the images stay larger",
    )  # fmt: skip
    add_budget(parser)
    add_work(parser, at="+0", where="where QEMU stands", gdb="--gdb-program")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Attach, run, interact, and let QEMU go."""
    lines = read_work(arguments)
    qemu = await AttachedQemu.connect(Address.parse(arguments.qmp), Address.parse(arguments.gdb))
    try:
        replay = await attach(
            qemu, arguments.log, arguments.console,
            save_snapshots=arguments.save_snapshots, budget=arguments.snapshot_budget,
        )  # fmt: skip
        async with replay:
            if qemu.caution:
                print(f"Caution: if it hangs, end it{qemu.caution}.", file=sys.stderr)
            return await work(replay, lines, arguments)
    finally:
        left = await qemu.release()
        if left is not None:
            print(f"{qemu.name} is left stopped at {left:,}.", file=sys.stderr)
        if qemu.saved:
            tags = " ".join(qemu.saved)
            print(
                f"These snapshots are left in its images; 'qemu-img snapshot -d' deletes them: {tags}", file=sys.stderr
            )
