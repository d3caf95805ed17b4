"""A small real-time kernel for Cortex-M boards, with two tasks of which one does wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.guests.build import GuestError, run_tool

SOURCES = Path(__file__).parent

BOARDS = ("mps2-an385", "microbit", "stm32vldiscovery", "lm3s6965evb")
"""Boards by QEMU's names. They differ in their serial ports and in how fast their clocks are."""

_GCC = (
    # The instructions of the smallest of them, microbit's Cortex-M0.
    *("arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb", "-std=gnu17", "-Og", "-g", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-nostdlib", "-static", "-Wl,-T,rtos.ld,--build-id=none,--no-warn-rwx-segments"),
)


def build_rtos(board: str, out_dir: Path) -> Path:
    """Build the image for ``board`` below ``out_dir``, unless it is there, and return its ELF file.

    :raises GuestError: there is no such board, or the compiler is missing.
    """
    if board not in BOARDS:
        raise GuestError(f"there is no board called {board!r}, only {' and '.join(BOARDS)}")
    options = (*_GCC, f"-DBOARD_{board.replace('-', '_')}")
    key = hashlib.sha256(repr((options, SOURCES, run_tool(_GCC[0], "--version"))).encode())
    for source in sorted(SOURCES.glob("*.*")):
        key.update(source.name.encode() + b"\0" + source.read_bytes())
    elf = out_dir.resolve() / f"rtos-{board}-{key.hexdigest()[:12]}.elf"
    if not elf.exists():
        elf.parent.mkdir(parents=True, exist_ok=True)
        run_tool(*options, "-o", str(elf), "rtos.c", "main.c", folder=SOURCES)
    return elf
