"""What is known of QEMU's versions: which were tested, and which do not replay."""

from __future__ import annotations

import re

from rrdbg.model.machine.findings import Finding, good, note, wrong

TESTED = ("7.2", "10.0", "11.1")
"""Those that rrdbg's tests ran with."""

_OLDEST = (7, 1)
"""The first that writes a log that rrdbg reads (version word 0xe0200c)."""

_HANGS = (9, 0)
"""Its vCPU waits for the log where it must not: QEMU's commit 1f881ea4a444, taken back in 9.1 by 94962ff00d09."""


def about_version(program: str, version: str) -> Finding:
    """What is known of ``program``, a QEMU of ``version``, such as ``7.2.22 (Debian ...)``."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        return wrong("QEMU", f"{program} has the version {version!r}, which is none.", "Install QEMU.")
    number, here = found[0], (int(found[1]), int(found[2]))
    tested = f"tested are {', '.join(TESTED)}"
    if here < _OLDEST:
        return wrong(
            "QEMU", f"{program} {version} writes logs that rrdbg does not read.", f"Install a newer one; {tested}."
        )
    if here == _HANGS:
        return wrong(
            "QEMU", f"{program} {version} hangs in replays (QEMU's issue 2524).", f"Install another; {tested}."
        )
    if number in TESTED:
        return good("QEMU", f"{program} {version}.")
    return note(
        "QEMU", f"{program} {version} was not tested with rrdbg; {tested}.", "Let doctor try your guest with it."
    )
