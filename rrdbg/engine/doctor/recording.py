"""Examine a recording without replaying it: is everything there, and is it what was recorded?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rrdbg.engine.doctor.setup import examine_place
from rrdbg.errors import QemuLaunchError, RecordingError
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.model.machine.findings import Finding, Level, good, note, wrong
from rrdbg.model.machine.handmade import missing_flags
from rrdbg.model.machine.qemu_versions import about_version
from rrdbg.model.machine.safety import snapshot_hazard
from rrdbg.model.size import counted
from rrdbg.store.files import checksum_inside
from rrdbg.store.layout import Layout
from rrdbg.store.logformat import KNOWN_VERSIONS
from rrdbg.store.manifest import Manifest
from rrdbg.store.opening import is_inside
from rrdbg.store.recording import Recording
from rrdbg.store.replaylog import LogSummary, summarise
from rrdbg.store.sharing import take_lock
from rrdbg.store.timeline_file import load_timeline
from rrdbg.store.trust import check_foreign, is_own

_AGAIN = "Restore it from a copy, or record again."


async def examine_recording(root: Path) -> list[Finding]:
    """All that files, and the programs of this machine, tell about the recording at ``root``."""
    layout = Layout(root.absolute())
    try:
        manifest = Manifest.read(layout.manifest)
    except RecordingError as error:
        return [wrong("manifest", str(error), "Record again, or name another recording.")]
    found = [
        good(
            "manifest",
            f"{manifest.icount:,} instructions, recorded {manifest.created} UTC; it ended: {manifest.ended}.",
        )
    ]
    found += await asyncio.to_thread(lambda: [*_log(layout, manifest), *_files(layout, manifest)])
    found += [*_disks(layout, manifest), *_timeline(root), *_access(layout)]
    origin = await asyncio.to_thread(_origin, layout, manifest)
    found.append(origin)
    if origin.level is not Level.WRONG:
        found += await _qemu(manifest)
    found += examine_place(layout.root)
    return found


def _origin(layout: Layout, manifest: Manifest) -> Finding:
    """Who made it; the program that somebody else's names is not run before that is known."""
    if is_own(layout.manifest):
        return good("origin", "It was made here, or is trusted.")
    try:
        check_foreign(layout.root, manifest)
    except RecordingError as error:
        return wrong("origin", str(error), "Say so once, if you trust its maker: rrdbg replay --trust.")
    return good("origin", "It was made elsewhere, and describes a machine and nothing more.")


def _log(layout: Layout, manifest: Manifest) -> Iterator[Finding]:
    try:
        summary = summarise(layout.log)
    except RecordingError as error:
        yield wrong("log", str(error), _AGAIN)
        return
    if summary.total != manifest.icount:
        yield wrong("log", f"It has {summary.total:,} instructions, and the manifest says {manifest.icount:,}.", _AGAIN)
    yield _version_of(summary, manifest)


def _version_of(summary: LogSummary, manifest: Manifest) -> Finding:
    writer = KNOWN_VERSIONS[summary.version]
    what = f"{summary.total:,} instructions in {summary.size_bytes:,} bytes, written by {writer}"
    return good("log", f"{what}; the recording's QEMU is {manifest.qemu_version.split()[0]}.")


def _files(layout: Layout, manifest: Manifest) -> Iterator[Finding]:
    sound = 0
    for name, expected in manifest.checksums.items():
        try:
            if checksum_inside(layout.root, name) == expected:
                sound += 1
                continue
            yield wrong("files", f"{name} is not what was recorded: its checksum differs.", _AGAIN)
        except OSError as error:
            yield wrong("files", f"{name} cannot be read: {error.strerror}.", _AGAIN)
        except RecordingError as error:
            yield wrong("files", str(error), _AGAIN)
    yield good("files", f"{sound} of {len(manifest.checksums)} files have the checksums of the manifest.")


def _disks(layout: Layout, manifest: Manifest) -> Iterator[Finding]:
    # The manifest has the beginning cut to a whole second, so it was up to one later.
    begun = datetime.fromisoformat(manifest.created).replace(tzinfo=UTC).timestamp() + 1
    for disk in manifest.invocation.disks:
        source = layout.source(disk)
        if not os.access(source, os.R_OK):
            yield wrong("disks", f"The disk image {source} is missing, or not readable.", "Bring it back there.")
        elif not source.is_relative_to(layout.root) and source.stat().st_mtime > begun + manifest.seconds:
            yield note(
                "disks",
                f"The disk image {source} was changed since it was recorded over.",
                "If a replay fails, restore it to what it was.",
            )
        else:
            yield good("disks", f"The disk image {source} is there.")


def _timeline(root: Path) -> Iterator[Finding]:
    try:
        recording = Recording.peek(root)
        snapshots = load_timeline(recording).snapshots
    except RecordingError as error:
        yield wrong(
            "snapshots", str(error), "If it is timeline.json that is damaged, delete that to go on without them."
        )
        return
    unsound = [snapshot for snapshot in snapshots if snapshot.sound is False]
    lost = [item for item in snapshots if not all(is_inside(recording.layout.root, file) for file in item.files)]
    for snapshot in lost:
        yield wrong("snapshots", f"Files of the one at {snapshot.icount:,} are missing.", "rrdbg verify drops it.")
    for snapshot in unsound:
        yield note(
            "snapshots", f"The one at {snapshot.icount:,} is not sound, and not used.", "Seek there and save anew."
        )
    proved = sum(snapshot.sound is True for snapshot in snapshots)
    told = f"{counted(len(snapshots), 'snapshot')}, {proved} proved sound."
    if proved < len(snapshots) - len(unsound):
        yield note("snapshots", told, "rrdbg verify proves them, and replays all.")
    else:
        yield good("snapshots", told)


def _access(layout: Layout) -> Iterator[Finding]:
    if not os.access(layout.root, os.W_OK):
        yield note(
            "access", "The recording is read-only: snapshots and bookmarks are not kept.", "chmod u+w, or copy it."
        )
        return
    try:
        lock = take_lock(layout.root)
    except RecordingError as error:
        yield note("access", str(error), "End that one to work on it.")
        return
    if lock is not None:
        os.close(lock)
    yield good("access", "It can be written to, and nobody else has it open.")


async def _qemu(manifest: Manifest) -> list[Finding]:
    invocation = manifest.invocation
    try:
        program = find_qemu(invocation.binary)
        version = await qemu_version(program)
    except QemuLaunchError as error:
        return [wrong("QEMU", str(error), f"Install QEMU {manifest.qemu_version}.")]
    found = [about_version(program, version)]
    if version.split()[0] != manifest.qemu_version.split()[0]:
        found = [
            wrong(
                "QEMU",
                f"It was recorded with {manifest.qemu_version}, and {program} is {version}, which does not replay it.",
                "Install that version, or put it first on PATH.",
            )
        ]
    hazard = snapshot_hazard(invocation.architecture, manifest.qemu_version, invocation.board)
    if hazard:
        found.append(note("QEMU", f"Jumps start at the beginning: {hazard.reason}.", "Record with a newer QEMU."))
    lacking = missing_flags(invocation)
    if lacking:
        found.append(
            note("machine", f"It was recorded without {' '.join(lacking)}.", "If a jump derails, record again.")
        )
    return found
