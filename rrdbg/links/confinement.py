"""What a QEMU may reach of this host: its own program, the recording, and a folder to write to.

TCG is no security boundary (QEMU's docs/system/security.rst), and a state that is loaded may lie: a guest's way out is
a fault of a device model. So QEMU gives up what it does not need before it sees any of that. There are three measures,
each where the host has it: QEMU's own filter of system calls, which starts no programs; Landlock, by which it sees no
other files and makes no TCP connections; and a network of its own, in which there is nobody.

``bwrap`` would do the same, but is itself the process that we would start: QEMU's threads and memory would no longer
be those of the process that we know.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_STUB = Path(__file__).with_name("confine.py")
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/qemu")
"""Where programs, their libraries and firmware lie; nothing of any user's."""

_DEVICES_READ = ("/dev/urandom", "/dev/random", "/sys/devices/system/cpu")
_DEVICES_WRITTEN = ("/dev/null", "/dev/zero")


class Measure(StrEnum):
    """One of them, as it is told to the user."""

    SECCOMP = "it starts no programs and does not become another user (seccomp)"
    LANDLOCK = "it sees no files but its own and the recording's (Landlock)"
    OFFLINE = "it reaches no network (a namespace of its own)"


SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
"""QEMU's options for :attr:`Measure.SECCOMP` (accepted by 7.2, 10.0 and 11.1 as Debian builds them)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a QEMU needs: files and folders that it reads, and those that it also writes."""

    read: tuple[Path, ...]
    write: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Confinement:
    """``prefix`` are words to be put in front of QEMU's program, ``options`` QEMU's own, ``measures`` what they do.

    The prefix is a program that becomes QEMU in the same process, and passes on all open files.
    """

    prefix: tuple[str, ...]
    options: tuple[str, ...]
    measures: frozenset[Measure]


def confinement(
    qemu: Path, reach: Reach, host: frozenset[Measure], present: Sequence[Path] | None = None
) -> Confinement:
    """How the program ``qemu`` is confined to ``reach`` on a ``host`` that has these measures.

    ``present`` are paths of the system that there are (None: they are looked for): Landlock wants all to be there.
    Paths have their links followed: a rule holds for what lies there, not for a name.
    """
    words: list[str] = []
    if Measure.OFFLINE in host:
        words.append("offline")
    if Measure.LANDLOCK in host:
        system = _present() if present is None else present
        # A QEMU that is installed elsewhere has its libraries and firmware beside it: PREFIX/bin, PREFIX/share.
        programs = (qemu.parent, qemu.resolve().parent.parent)
        read = dict.fromkeys((*system, *programs, *reach.read))
        words += [f"read={path}" for path in read if path not in reach.write]
        words += [f"write={path}" for path in (*map(Path, _DEVICES_WRITTEN), *reach.write)]
    prefix = (sys.executable, "-I", "-S", str(_STUB), *words, "--") if words else ()
    return Confinement(prefix, SANDBOX if Measure.SECCOMP in host else (), host)


def _present() -> list[Path]:
    return [path for path in map(Path, (*_SYSTEM, *_DEVICES_READ)) if path.exists()]


async def host_measures() -> frozenset[Measure]:
    """Which measures this host has: each is tried by a process that ends at once (20 ms each).

    Whether QEMU was built with seccomp only QEMU tells; it is taken to be so.
    """
    found = {Measure.SECCOMP}
    tries = {Measure.LANDLOCK: ("read=/usr",), Measure.OFFLINE: ("offline",)}
    for measure, words in tries.items():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_STUB), *words, "--"),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await process.wait() == 0:
            found.add(measure)
    return frozenset(found)
