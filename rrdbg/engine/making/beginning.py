"""A recording that begins in the middle of another one: what it begins with, and how QEMU takes that up.

A QEMU that records loads the state there, before anything has run, with its instructions counted anew, and saves it as
the new recording's initial snapshot. From then on it is a recording as any other; only its clock has a past.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from rrdbg.engine.machines.incoming import take_up, write_state
from rrdbg.errors import QmpError, UsageError
from rrdbg.links.process import QemuProcess, kept_clear
from rrdbg.links.vmstate_clock import as_beginning
from rrdbg.model.machine.invocation import Invocation
from rrdbg.store.recording import Recording


@dataclass(frozen=True, slots=True)
class Beginning:
    """The ``state`` of the machine of ``invocation``, which ``qemu_version`` has saved at ``place``.

    The guest's clock is to be ``later`` ns later than it was there.
    """

    place: str
    invocation: Invocation
    qemu_version: str
    state: bytes
    later: int = 0

    @classmethod
    def of(cls, recording: Recording, icount: int, state: bytes) -> Beginning:
        """``recording`` at ``icount``, where its machine has ``state``."""
        layout, invocation = recording.layout, recording.manifest.invocation
        # Where it lies may be relative to the recording.
        disks = tuple(replace(disk, source=str(layout.source(disk).absolute())) for disk in invocation.disks)
        files = tuple(replace(file, source=str(layout.bundled(file.name).absolute())) for file in invocation.bundled)
        alone = replace(invocation, disks=disks, bundled=files).without_host()
        return cls(f"{recording.name} at {icount:,}", alone, recording.manifest.qemu_version, state)

    @staticmethod
    def check(recording: Recording) -> None:
        """Whether a recording can begin in ``recording``.

        :raises UsageError: it cannot; the message says why.
        """
        if not recording.own:
            # What begins in it is noted as the user's own.
            raise UsageError(
                f"No recording can begin in {recording.name}, which was not made here; if you trust whoever has made "
                "it, open it with --trust first."
            )
        invocation = recording.manifest.invocation
        if invocation.shift == "auto":
            raise UsageError(
                f"No recording can begin in {recording.name}, whose clock has no fixed rate (shift=auto); record it "
                "again with a number for --shift."
            )
        if any(not disk.read_only for disk in invocation.disks):
            raise UsageError(
                f"No recording can begin in {recording.name} yet, since its guest can write to a disk; record it with "
                "an initrd, or with readonly=on."
            )

    def open(self, *, sleeps: bool) -> int:
        """A file that a QEMU which ``sleeps`` can read the state from; the caller closes it."""
        state = as_beginning(self.state, int(self.invocation.shift), self.later, sleeps=sleeps)
        file = kept_clear(os.memfd_create("rrdbg-beginning", os.MFD_CLOEXEC))
        try:
            write_state(file, state)
        except BaseException:
            os.close(file)
            raise
        return file

    async def load(self, process: QemuProcess, file: int, tag: str) -> None:
        """Have ``process``, which waits and has ``file``, take up the state, and save it as its snapshot ``tag``.

        :raises QmpError: QEMU refuses it.
        :raises LinkError: it has ended, or hangs.
        """
        qmp = process.qmp
        await process.guard(qmp.tell_of_migration())
        await take_up(process, file, self.qemu_version)
        refused = await process.guard(qmp.execute("human-monitor-command", **{"command-line": f"savevm {tag}"}))
        if str(refused).strip():
            raise QmpError(f"QEMU cannot save the beginning: {str(refused).strip()}")
