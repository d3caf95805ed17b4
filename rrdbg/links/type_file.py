"""A kernel's types for GDB, of its own description (BTF): bpftool writes that as C, and a compiler makes DWARF of it.

What comes from a guest goes through two programs here. Neither runs anything of it, and no name in it can be more than
a name: what is no word, a blank, a dot or a parenthesis is refused, so that nothing is included, quoted or defined.
"""

from __future__ import annotations

import asyncio
import platform
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from rrdbg.errors import LinkError, UsageError

_COMPILERS = {
    "x86_64": ("x86_64-linux-gnu-gcc", "gcc"),
    "aarch64": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    "riscv64": ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu"),
}
"""The compiler for each architecture, and Debian's package of it."""

_FLAGS = ("-std=gnu17", "-w", "-g", "-fno-eliminate-unused-debug-types", "-c", "-x", "c")
_SECONDS = 120.0
_SYSTEM = "/usr/sbin:/sbin"
"""Where Debian has bpftool, and which a user's PATH may lack."""

_NAMES = re.compile(rb"[\w .()]*")


async def make_type_file(btf: bytes, names: bytes, architecture: str, target: Path) -> None:
    """Write the types in ``btf`` to the ELF file ``target``; ``names`` are its table of strings.

    :raises UsageError: there is no bpftool, or no compiler for the guest's architecture.
    :raises LinkError: one of them fails, or the names are none of C's.
    :raises OSError: the disk is full.
    """
    bpftool, compiler = _found("bpftool", "bpftool"), _compiler(architecture)
    for name in names.split(b"\0"):
        if not _NAMES.fullmatch(name):
            raise LinkError(f"The kernel's description of its types has the name {name[:40]!r}, which none in C is.")
    described, header, draft = (target.with_suffix(suffix) for suffix in (".btf", ".c", ".new"))
    await asyncio.to_thread(described.write_bytes, btf)
    text = await _run([bpftool, "btf", "dump", "file", str(described), "format", "c"])
    await asyncio.to_thread(header.write_bytes, text)
    await _run([compiler, *_FLAGS, "-o", str(draft), str(header)])
    draft.replace(target)
    for passing in (described, header):
        passing.unlink()


def _compiler(architecture: str) -> str:
    if architecture == platform.machine() and (found := next(filter(None, map(shutil.which, ("cc", "gcc"))), None)):
        return found
    return _found(*_COMPILERS[architecture])


def _found(program: str, package: str) -> str:
    path = shutil.which(program) or shutil.which(program, path=_SYSTEM)
    if path is None:
        raise UsageError(
            f"{program} is not installed, which helps to make types for GDB of those that the kernel describes; on "
            f"Debian: apt-get install {package}."
        )
    return path


async def _run(command: Sequence[str]) -> bytes:
    """What ``command`` prints.

    :raises LinkError: it fails, or takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_SECONDS):
            output, said = await process.communicate()
    except TimeoutError:
        raise LinkError(f"{command[0]} has not ended within {_SECONDS:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        first = said.decode(errors="replace").strip().partition("\n")[0]
        raise LinkError(f"{command[0]} cannot use the kernel's types: {first[:200] or process.returncode}")
    return output
