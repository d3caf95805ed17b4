"""Which GDB to start: one that knows the guest's architecture.

Debian's ``gdb`` knows the host's own alone, its ``gdb-multiarch`` all; elsewhere ``gdb`` may know all, too. So it is
asked, but for what every GDB knows: the machine that it was built for.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Sequence

from rrdbg.errors import LinkError, QemuLaunchError
from rrdbg.links.programs import output_of
from rrdbg.model.program.architecture import GDB_NAMES

USUAL = "gdb"
"""The name that stands for whichever of :data:`_CANDIDATES` knows the guest."""

MULTIARCH = "gdb-multiarch"
"""The one that knows all."""

_UNDEFINED = "Undefined item"
_ANSWER = re.compile(rf"{_UNDEFINED}|architecture is set to")

_CANDIDATES = (USUAL, MULTIARCH)
_OWN = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",), "riscv64": ("riscv64", "riscv32")}
"""By the host's machine: guests that need no question."""


async def find_gdb(guest: str, program: str = USUAL) -> str:
    """The GDB to start for ``guest``, as QEMU calls its architecture: ``program``, or what :data:`USUAL` stands for.

    :raises QemuLaunchError: there is none, or none that knows such guests; the message says what to install.
    """
    there = [name for name in (_CANDIDATES if program == USUAL else (program,)) if shutil.which(name)]
    if not there and program != USUAL:
        raise QemuLaunchError(f"{program} is not installed or not on PATH; name another GDB with --gdb.")
    for name in there:
        if await knows(name, guest):
            return name
    what = "gdb" if guest in _OWN.get(platform.machine(), ()) else MULTIARCH
    missing = f"{' and '.join(there)} {'do' if len(there) > 1 else 'does'} not know" if there else "There is no GDB for"
    raise QemuLaunchError(f"{missing} {guest} guests; on Debian: apt-get install {what}.")


async def knows(program: str, guest: str) -> bool:
    """Whether the GDB ``program`` knows guests of QEMU's architecture ``guest``; it is taken to if nobody can tell."""
    if program == USUAL and guest in _OWN.get(platform.machine(), ()):
        return True
    return guest in await known(program, [guest])


async def known(program: str, guests: Sequence[str]) -> set[str]:
    """Those of ``guests`` that the GDB ``program`` knows, or of which nobody can tell; none if it is no GDB."""
    asked = [guest for guest in guests if guest in GDB_NAMES]
    words = [word for guest in asked for word in ("-ex", f"set architecture {GDB_NAMES[guest]}")]
    try:
        # Its status is that of the last command.
        said = await output_of(program, "-q", "-nx", "-batch", *words, "-ex", "show version")
    except LinkError:
        return set()
    answers = _ANSWER.findall(said)
    if len(answers) != len(asked):
        return set()
    unknown = {guest for guest, answer in zip(asked, answers, strict=True) if answer == _UNDEFINED}
    return set(guests) - unknown
