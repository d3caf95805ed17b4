"""What a QEMU may reach of this host: its own program, the recording, and a folder to write to.

TCG is no security boundary (QEMU's docs/system/security.rst), and a state that is loaded may lie: a guest's way out is
a fault of a device model. So QEMU gives up what it does not need before it sees any of that. There are three measures,
each where the host has it: QEMU's own filter of system calls, which starts no programs; Landlock, by which it sees no
other files and no other processes; and a filter by which it makes no sockets.

``bwrap`` would do the same, but is itself the process that we would start: QEMU's threads and memory would no longer
be those of the process that we know. In a user namespace of its own QEMU could no longer read, as root, what belongs
to somebody else, and some hosts allow none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rrdbg.links.process import in_front_of_qemu

_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/lib32", "/bin", "/nix/store", "/gnu/store", "/etc/ld.so.cache", "/etc/ld.so.preload"),
    *("/etc/qemu", "/etc/localtime", "/etc/gnutls", "/etc/crypto-policies", "/etc/ssl/openssl.cnf"),
    *("/dev/urandom", "/dev/random", "/sys/devices/system/cpu", "/sys/kernel/mm"),
)
"""Where programs, their libraries, firmware and settings lie; nothing of any user's."""

_OF_A_PREFIX = ("share/qemu", "lib", "lib64", "libexec")

_NETWORK = ("/etc/resolv.conf", "/etc/hosts")
_DEVICES = ("/dev/null", "/dev/zero")


class Measure(StrEnum):
    """One of them, as it is told to the user."""

    SANDBOX = "it starts no programs and does not become another user (QEMU's sandbox)"
    FILES = "it sees no files but its own and the recording's (Landlock)"
    SOCKETS = "it makes no connections (a filter of system calls)"


EVERY = frozenset(Measure)

SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
"""QEMU's options for :attr:`Measure.SANDBOX` (accepted by 7.2, 10.0 and 11.1 as Debian builds them)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a QEMU needs: files and folders that it reads, those that it also writes, and whether it has a network."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    network: bool = False


def words_of(measures: Iterable[Measure], qemu: Path, reach: Reach) -> tuple[str, ...]:
    """What :mod:`rrdbg.links.become_qemu` is told, to have the program ``qemu`` keep to ``reach``."""
    words: list[str] = []
    if Measure.FILES in measures:
        system = map(Path, (*_SYSTEM, *(_NETWORK if reach.network else ()), *_libraries()))
        # Landlock wants all to be there.
        read = dict.fromkeys(path for path in (*system, *_installed(qemu)) if path.exists())
        words += [f"read={path}" for path in (*read, *reach.read)]
        words += [f"write={path}" for path in (*_DEVICES, *reach.write)]
        words += [] if reach.network else ["no-tcp"]
    if Measure.SOCKETS in measures and not reach.network:
        words.append("no-sockets")
    return tuple(words)


def options_of(measures: Iterable[Measure]) -> tuple[str, ...]:
    """The options of QEMU's own that belong to ``measures``."""
    return SANDBOX if Measure.SANDBOX in measures else ()


async def measures_for(qemu: Path) -> frozenset[Measure]:
    """Which measures hold for the program ``qemu`` on this host: it is tried, without any guest, in 40 ms.

    No recording has a part in that, so that none can make it fail.
    """
    if await _runs(EVERY, qemu):
        return EVERY
    found = [measure for measure in Measure if await _runs({measure}, qemu)]
    return frozenset(found) if await _runs(found, qemu) else frozenset()


async def _runs(measures: Iterable[Measure], qemu: Path) -> bool:
    words = words_of(measures, qemu, Reach())
    process = await asyncio.create_subprocess_exec(
        *in_front_of_qemu(words), str(qemu), *options_of(measures), "--version",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output = (await process.communicate())[0]
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode == 0 and b"QEMU emulator version" in output


def _installed(qemu: Path) -> list[Path]:
    """What belongs to a QEMU that is installed elsewhere, as PREFIX/bin/qemu-..., or lies where it was built.

    That is PREFIX, unless it is a folder that a user's own files lie in, too. Where it was built links lead to its
    firmware, which may be in another place.
    """
    program = qemu.resolve()
    prefix = program.parent.parent
    bundle = program.parent / "qemu-bundle"
    linked = {path.resolve().parent for path in bundle.rglob("*") if path.is_symlink()} if bundle.is_dir() else set()
    if Path.home().is_relative_to(prefix) or prefix.name == ".local":
        return [qemu, program, bundle, *sorted(linked), *(prefix / name for name in _OF_A_PREFIX)]
    return [qemu, program, *sorted(linked), prefix]


def _libraries() -> list[str]:
    """Folders in which this user has told that libraries lie."""
    return [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path.startswith("/")]
