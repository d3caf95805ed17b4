"""Examine this machine: the programs that rrdbg needs, and the room and the rights that it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version as package_version
from pathlib import Path

from rrdbg.engine.making.recorder import KEPT_FREE_BYTES
from rrdbg.errors import LinkError, QemuLaunchError, RecordingError
from rrdbg.links.confinement import Measure, measures_for
from rrdbg.links.gdb_choice import MULTIARCH, known
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.links.programs import gdb_has_python, gdb_version, output_of, qemu_programs
from rrdbg.model.machine.findings import Finding, good, note, wrong
from rrdbg.model.machine.qemu_versions import about_version
from rrdbg.model.size import size_text
from rrdbg.store.workfolder import WorkFolder

_OPEN_FILES = 256
"""What rrdbg and a QEMU need at most in one process, with room to spare (both use below 60)."""

_LITTLE_SPACE = 1 << 30
_PTRACE_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_INSTALL = "On Debian: apt-get install"


async def examine_setup(library: Path, gdb: str = "gdb") -> list[Finding]:
    """Everything that does not depend on a guest; recordings are made in the folder ``library``."""
    about_us = good("rrdbg", f"rrdbg {package_version('rrdbg')} on Python {platform.python_version()}.")
    return [
        about_us,
        *await _qemus(),
        await _qemu_img(),
        await _gdb(gdb),
        *await _guests(gdb),
        *await asyncio.to_thread(examine_place, library),
        _temporary_files(),
        *_rights(),
        *await _confinement(),
        _open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    ]


async def _qemus() -> list[Finding]:
    versions: dict[str, list[str]] = defaultdict(list)
    found = []
    for name in qemu_programs():
        try:
            versions[await qemu_version(name)].append(name)
        except QemuLaunchError as error:
            found.append(note("QEMU", str(error), f"{_INSTALL} --reinstall qemu-system."))
    found += [about_version(_listed(names), version) for version, names in versions.items()]
    if not versions:
        found.append(wrong("QEMU", "No qemu-system-* is on PATH.", f"{_INSTALL} qemu-system-x86."))
    return found


def _listed(names: Sequence[str]) -> str:
    """``qemu-system-aarch64, -arm, -x86_64``."""
    first, *others = names
    return ", ".join([first, *(name.removeprefix("qemu-system") for name in others)])


async def _qemu_img() -> Finding:
    try:
        first = (await output_of("qemu-img", "--version")).partition("\n")[0]
    except LinkError as error:
        return wrong("qemu-img", str(error), f"{_INSTALL} qemu-utils.")
    return good("qemu-img", f"{first.partition('(')[0].strip()}.")


async def _gdb(program: str) -> Finding:
    try:
        version = await gdb_version(program)
        scripted = await gdb_has_python(program)
    except LinkError as error:
        return note("GDB", f"{error} Without it there are no symbols and source lines.", f"{_INSTALL} gdb.")
    if not scripted:
        return note(
            "GDB",
            f"{program} {version} has no Python: rrdbg's own commands in GDB do not work, all else does.",
            f"{_INSTALL} gdb (not gdb-minimal).",
        )
    return good("GDB", f"{program} {version} with Python.")


async def _guests(program: str) -> list[Finding]:
    """The installed QEMUs whose guests no GDB here knows."""
    guests = [name.removeprefix("qemu-system-") for name in qemu_programs()]
    lacking = set(guests)
    for name in (program, MULTIARCH):
        if lacking and shutil.which(name):
            lacking -= await known(name, sorted(lacking))
    if not lacking or not shutil.which(program):
        return []
    what = f"No GDB here knows {', '.join(sorted(lacking))} guests: they have no symbols and source lines."
    return [note("GDB", what, f"{_INSTALL} {MULTIARCH}.")]


def examine_place(library: Path) -> list[Finding]:
    """Whether recordings can be made in a folder, which need not be there yet."""
    there = library.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        remedy = "Set RRDBG_DIR to a folder that you can write to, or record with --output."
        return [wrong("recordings", f"Recordings cannot be made in {library}: {there} is not writable.", remedy)]
    free = shutil.disk_usage(there).free
    where = f"Recordings are made in {library}, where {size_text(free)} are free."
    if free < KEPT_FREE_BYTES:
        return [wrong("space", f"{where} A recording would stop at once.", "Free some, or set RRDBG_DIR elsewhere.")]
    if free < _LITTLE_SPACE:
        return [note("space", f"{where} Snapshots may take a tenth of that.", "Free some for faster travelling.")]
    return [good("space", where)]


def _temporary_files() -> Finding:
    wanted = Path(tempfile.gettempdir())
    try:
        with WorkFolder() as folder:
            place = folder.parent
    except RecordingError as error:
        return wrong("temporary files", str(error), "Set TMPDIR to a folder that you can write to.")
    if place != wanted:
        what = f"They go to {place}, as {wanted} is full, read-only, or too long a path for a socket."
        return note("temporary files", what, "Set TMPDIR to a folder with a short path.")
    return good("temporary files", f"They go to {place}.")


def _rights() -> list[Finding]:
    found = []
    if not os.access("/proc/self/mem", os.R_OK):
        found.append(wrong("/proc", "/proc is not mounted; QEMU's memory cannot be read.", "Mount it."))
    try:
        scope = int(_PTRACE_SCOPE.read_text())
    except (OSError, ValueError):
        scope = 0
    if scope > 1 and os.geteuid() != 0:
        found.append(
            note(
                "/proc",
                f"yama.ptrace_scope is {scope}: we may not read QEMU's memory, so snapshots are not proved.",
                "As root: sysctl kernel.yama.ptrace_scope=1",
            )
        )
    if shutil.which("setpriv") is None:
        found.append(
            note("setpriv", "It is not installed: if rrdbg is killed, its QEMUs go on.", f"{_INSTALL} util-linux.")
        )
    return found or [good("/proc", "QEMU's memory can be read; QEMUs end with rrdbg.")]


async def _confinement() -> list[Finding]:
    """One finding for all programs that the same holds for; each is tried, as QEMU can be built without a sandbox."""
    programs: dict[frozenset[Measure], list[str]] = defaultdict(list)
    for name in qemu_programs():
        with contextlib.suppress(QemuLaunchError):
            await qemu_version(name)  # _qemus tells of one that is none
            programs[await measures_for(Path(find_qemu(name)))].append(name)
    found = []
    for measures, names in programs.items():
        held = "; ".join(measure for measure in Measure if measure in measures) or "nothing is taken from it"
        told = f"Of a QEMU that replays ({_listed(names)}): {held}."
        if missing := [measure for measure in Measure if measure not in measures]:
            found.append(
                note(
                    "confinement", f"{told} Not here: {'; '.join(missing)}.",
                    "Open recordings that you fear in a container, or on a Linux with Landlock (5.13 and newer).",
                )
            )  # fmt: skip
        else:
            found.append(good("confinement", told))
    return found


def _open_files(limit: int) -> Finding:
    if 0 <= limit < _OPEN_FILES:
        return note("open files", f"A process may open only {limit} files.", f"ulimit -n {_OPEN_FILES}, or more.")
    return good("open files", f"A process may open {limit if limit >= 0 else 'any number of'} files.")
