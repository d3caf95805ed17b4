"""Examine a guest that is to be recorded: its command line, the QEMU that it names, its files, and a short trial."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rrdbg.engine.doctor.trial import try_guest
from rrdbg.errors import LinkError, QemuLaunchError
from rrdbg.links.gdb_choice import find_gdb
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.links.programs import accelerators
from rrdbg.model.machine.correction import Correction, added, correct
from rrdbg.model.machine.findings import Finding, fit, good, note, wrong
from rrdbg.model.machine.invocation import Invocation, architecture_of
from rrdbg.model.machine.qemu_versions import about_version
from rrdbg.model.machine.safety import snapshot_hazard, step_hazard


@dataclass(frozen=True, slots=True)
class GuestExamination:
    """What was found, and the command line that records this guest, ``rrdbg record`` first; None if there is none.

    It was ``tried``, and does record it, or else the user wanted no trial.
    """

    findings: tuple[Finding, ...]
    command: tuple[str, ...] | None
    tried: bool = False


async def examine_guest(
    command: Sequence[str], *, quick: bool = False, say: Callable[[str], None] = lambda doing: None
) -> GuestExamination:
    """Examine QEMU's ``command``; ``quick`` leaves out the trial, and ``say`` is told what is being done.

    :raises RrdbgError: an examination could not be made at all.
    """
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    correction = correct(command, clock_base=now.isoformat())
    invocation = correction.invocation
    program, found = await _qemu(command[0], invocation.board if invocation else "")
    found += correction.findings
    if invocation is None:
        return GuestExamination(tuple(found), None)
    if not correction.findings:
        found.append(good("arguments", "All of them can be recorded."))
    found += _files(invocation)
    found += added(invocation)
    ready = program and all(finding.topic == "arguments" for finding in found if not fit([finding]))
    if not ready:
        return GuestExamination(tuple(found), None)
    if quick:
        return GuestExamination(tuple(found), _record_command(correction))
    trial = await try_guest(correction.command, invocation.shift, say)
    return GuestExamination((*found, *trial), _record_command(correction) if fit(trial) else None, tried=True)


def _record_command(correction: Correction) -> tuple[str, ...]:
    shift = () if correction.shift == "5" else ("--shift", correction.shift)
    return ("rrdbg", "record", *shift, "--", *correction.command)


async def _qemu(binary: str, board: str) -> tuple[str | None, list[Finding]]:
    """The program, if it is there, and what is known of it."""
    try:
        program = find_qemu(binary)
        version = await qemu_version(program)
    except QemuLaunchError as error:
        return None, [wrong("QEMU", str(error), "Install it, or name another one.")]
    found = [about_version(program, version)]
    try:
        if "tcg" not in await accelerators(program):
            found.append(wrong("QEMU", f"{program} was built without TCG, which alone records.", "Install another."))
    except LinkError as error:
        found.append(note("QEMU", str(error)))
    hazard = snapshot_hazard(architecture_of(binary), version, board)
    if hazard:
        found.append(
            note("QEMU", f"Jumps will start at the beginning: {hazard.reason}.", "Use a newer QEMU for faster ones.")
        )
    hazard = step_hazard(architecture_of(binary), version)
    if hazard:
        found.append(
            note("QEMU", f"In this machine {hazard.reason}.", "Let the guest idle without wfi, or step round it.")
        )
    try:
        await find_gdb(architecture_of(binary))
    except QemuLaunchError as error:
        found.append(note("GDB", f"{error} Without it there are no symbols and source lines."))
    return program, found


def _files(invocation: Invocation) -> Iterator[Finding]:
    names = [(file.source, f"-{file.option}") for file in invocation.bundled]
    names += [(disk.source, "a disk") for disk in invocation.disks]
    for name, use in names:
        if not os.access(name, os.R_OK):
            yield wrong(
                "files", f"{shlex.quote(name)} ({use}) is not there, or not readable.", "Name it by its full path."
            )
    if names and all(os.access(name, os.R_OK) for name, _ in names):
        yield good("files", f"{', '.join(shlex.quote(name) for name, _ in names)}: readable.")
