"""The programs of this machine that rrdbg needs: where they are, and what they say of themselves."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

from rrdbg.errors import LinkError

_SECONDS = 20.0
"""How long a program may take to tell its version; some are slow when the machine is busy."""


def qemu_programs() -> list[str]:
    """The names of all system emulators on PATH, in order."""
    found = set()
    for folder in os.get_exec_path():
        try:
            found |= {path.name for path in Path(folder).glob("qemu-system-*") if os.access(path, os.X_OK)}
        except OSError:
            continue
    return sorted(found)


async def output_of(program: str, *words: str) -> str:
    """What ``program`` prints, errors included.

    :raises LinkError: it is not there, fails, or takes too long.
    """
    path = shutil.which(program)
    if path is None:
        raise LinkError(f"{program} is not installed, or not on PATH.")
    try:
        process = await asyncio.create_subprocess_exec(
            path, *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise LinkError(f"{path} cannot be run: {error.strerror}.") from None
    try:
        async with asyncio.timeout(_SECONDS):
            output = (await process.communicate())[0].decode(errors="replace").strip()
    except TimeoutError:
        raise LinkError(f"{path} {' '.join(words)} has not ended within {_SECONDS:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise LinkError(f"{path} {' '.join(words)} failed: {output[:200] or f'exit status {process.returncode}'}.")
    return output


async def gdb_version(program: str) -> str:
    """The version of a GDB, such as ``13.1``.

    :raises LinkError: it is none, or not there.
    """
    first = (await output_of(program, "--version")).partition("\n")[0]
    found = re.search(r"(\d+\.\d+)\S*$", first)
    if "gdb" not in first.lower() or found is None:
        raise LinkError(f"{program} is no GDB: it says {first[:80]!r}.")
    return found[1]


async def gdb_has_python(program: str) -> bool:
    """Whether a GDB was built with Python.

    :raises LinkError: it cannot be run.
    """
    return "42" in await output_of(program, "-q", "-nx", "-batch", "-ex", "python print(40 + 2)")


async def accelerators(program: str) -> frozenset[str]:
    """What a QEMU can run a guest with: ``tcg``, ``kvm``, ...

    :raises LinkError: it does not tell.
    """
    return frozenset((await output_of(program, "-accel", "help")).split())
