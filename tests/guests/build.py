"""Builds the bare-metal guests with the host's gcc and finds symbols in them.

A guest is one ELF64 file: QEMU boots it with ``-kernel`` (see machine/boot.S), GDB reads its
symbols and lines.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
BUGS = tuple(sorted(path.stem for path in (SOURCES / "bugs").glob("*.c")))
"""Guests of one file each, with one planted bug each."""

RACES = tuple(sorted(path.stem for path in (SOURCES / "races").glob("*.c")))
"""Guests of one file each that fail in less than one of 500 boots."""

GUESTS = ("workload", "heapbug", "network", "copies", "typed", "spinning", *BUGS, *RACES)

QEMU_OPTIONS = ("-m", "16M", "-nodefaults")
"""A machine that suits every bare-metal guest; serial port and ``-display none`` are the caller's."""

GCC = (
    *("gcc", "-m64", "-std=gnu17", "-Og", "-g", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-no-pie"),
    # Interrupts use the stack they find and save no vector registers.
    *("-mno-red-zone", "-mgeneral-regs-only", "-fno-stack-protector", "-fcf-protection=none"),
    # Unwind tables for GDB only (.debug_frame), not in the image.
    *("-fno-asynchronous-unwind-tables", "-Imachine"),
    "-Wl,-T,machine/guest.ld,--build-id=none,-z,max-page-size=4096,-z,noexecstack,--no-warn-rwx-segments",
)


class GuestError(Exception):
    """A guest cannot be built; the message is one sentence, and the words of the tool that failed."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function or variable of a guest: its address, and its size in bytes (0 where the file gives none)."""

    address: int
    size: int


def build(name: str, out_dir: Path, *defines: str) -> Path:
    """Build the bare-metal guest `name` below `out_dir`, unless it is there, and return its ELF file.

    Each of `defines` is given to the compiler as `-D`.

    The file's name ends in a hash of sources, their place, options and compiler: an older build
    stays what it was, so that a recording made with it keeps its symbols.
    """
    if name not in GUESTS:
        raise GuestError(f"there is no guest called {name!r}, only {' and '.join(GUESTS)}")
    folder = {**dict.fromkeys(BUGS, "bugs"), **dict.fromkeys(RACES, "races")}.get(name)
    own = [SOURCES / folder / f"{name}.c"] if folder else (SOURCES / name).iterdir()
    sources = sorted([*(SOURCES / "machine").iterdir(), *own])
    options = (*GCC, *(f"-D{define}" for define in defines))
    key = hashlib.sha256(repr((options, SOURCES, run_tool("gcc", "--version"))).encode())
    for source in sources:
        key.update(source.name.encode() + b"\0" + source.read_bytes())
    elf = out_dir.resolve() / f"{name}-{key.hexdigest()[:12]}.elf"
    if not elf.exists():
        elf.parent.mkdir(parents=True, exist_ok=True)
        # Paths relative to SOURCES: the compiler is run there and writes them into the debug information.
        inputs = [str(path.relative_to(SOURCES)) for path in sources if path.suffix in (".S", ".c")]
        with tempfile.TemporaryDirectory(dir=elf.parent) as scratch:
            made = Path(scratch) / elf.name
            run_tool(*options, "-o", str(made), *inputs)
            made.replace(elf)
    return elf


def symbol(elf: Path, name: str) -> Symbol:
    """Return where `name` lies in `elf`."""
    for line in run_tool("nm", "--print-size", str(elf)).splitlines():
        match line.split():
            case [address, size, _kind, found] if found == name:
                return Symbol(int(address, 16), int(size, 16))
            case [address, _kind, found] if found == name:
                return Symbol(int(address, 16), 0)
    raise GuestError(f"{elf} has no symbol {name!r}")


def run_tool(*command: str, folder: Path = SOURCES) -> str:
    """Run a tool in `folder` and return what it printed; raise GuestError if it fails."""
    try:
        # LC_ALL: some output is read, and must not come in the user's language.
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise GuestError(f"{command[0]} is missing, which the test guests need: run `make setup`") from None
    if done.returncode:
        raise GuestError(f"{command[0]} failed with status {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
