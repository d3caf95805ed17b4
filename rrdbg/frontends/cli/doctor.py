"""``rrdbg doctor``: is this machine, this recording, this guest fit for recording and travelling?"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence

from rrdbg.engine.doctor.guest import GuestExamination, examine_guest
from rrdbg.engine.doctor.recording import examine_recording
from rrdbg.engine.doctor.setup import examine_setup
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.machine.findings import Finding, fit
from rrdbg.render.findings import findings_json, findings_text
from rrdbg.store.library import Library

_DESCRIPTION = """
Say what is wrong, and what to do about it: with this machine (without arguments), with a recording, or with a guest
that you want to record, given as QEMU's command line after '--'. The guest is tried for a few seconds in a temporary
folder: recorded, replayed twice, and jumped into; its disk images are only read. Exit status 0 if nothing is wrong,
1 if something is.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "doctor", help="say what is wrong", description=_DESCRIPTION,
        usage="rrdbg doctor [--quick] [--json] [RECORDING | -- qemu-system-x86_64 ARGUMENT...]",
    )  # fmt: skip
    parser.add_argument("recording", nargs="?", help="a directory or a name in the library")
    parser.add_argument("--quick", action="store_true", help="do not try the guest")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    parser.set_defaults(run=run, passes_on=True)


async def run(arguments: argparse.Namespace) -> int:
    """Examine, report; 1 if something is wrong."""
    command: Sequence[str] | None = None
    tried = False
    if arguments.theirs:
        if arguments.recording:
            raise UsageError("Give a recording, or QEMU's command line after --, not both.")
        examined = await _guest(arguments)
        findings: Sequence[Finding] = examined.findings
        command, tried = examined.command, examined.tried
    elif arguments.recording:
        findings = await examine_recording(Library.default().find(arguments.recording))
    else:
        findings = await examine_setup(Library.default().root)
    if arguments.json:
        print(findings_json(findings, command, tried=tried))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        print(findings_text(findings, command, width, tried=tried))
    return 0 if fit(findings) else 1


async def _guest(arguments: argparse.Namespace) -> GuestExamination:
    line = ProgressLine(quiet=arguments.json)
    try:
        return await examine_guest(
            arguments.theirs, quick=arguments.quick, say=lambda doing: line.show(f"[trying the guest: {doing}]")
        )
    finally:
        line.clear()
