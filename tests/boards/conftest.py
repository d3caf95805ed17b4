"""Small guests of other boards, in assembly: each is recorded for some thousand instructions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import run_tool

GUESTS = Path(__file__).parent / "guests"


@dataclass(frozen=True)
class Board:
    """A guest's source, how it is assembled and linked, and the QEMU that runs it."""

    source: str
    tools: str
    assemble: Sequence[str]
    link: Sequence[str]
    command: Sequence[str]
    instructions: int = 1_000_000


ARM = ("qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15", "-m", "16M", "-nographic")
CORTEX_M = ("qemu-system-arm", "-M", "mps2-an385", "-nographic")
BOARDS = {
    "a32": Board("yield", "arm-none-eabi-", ("-mcpu=cortex-a15",), ("-Ttext", "0x40008000"), ARM),
    "t32": Board("yield", "arm-none-eabi-", ("-mcpu=cortex-a15", "-mthumb"), ("-Ttext", "0x40008000"), ARM),
    "a64": Board(
        "yield_64", "aarch64-linux-gnu-", (), ("-Ttext", "0x40080000"),
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "16M", "-nographic"),
    ),
    "riscv64": Board(
        "pause", "riscv64-linux-gnu-", ("-march=rv64i",), ("-Ttext", "0x80000000"),
        ("qemu-system-riscv64", "-M", "virt", "-m", "16M", "-nographic", "-bios", "none"),
    ),
    "cortex-m": Board("yield_m", "arm-none-eabi-", ("-mcpu=cortex-m3",), ("-Ttext", "0"), CORTEX_M),
    "semihosting": Board(
        "semihosting", "arm-none-eabi-", ("-mcpu=cortex-m3",), ("-Ttext", "0"), (*CORTEX_M, "-semihosting")
    ),
    "multiboot32": Board(
        "multiboot32", "", ("--32",), ("-m", "elf_i386", "-Ttext", "0x100000"),
        ("qemu-system-x86_64", "-m", "16M", "-nodefaults", "-nographic"), instructions=30_000_000,
    ),
}  # fmt: skip


def assembled(name: str) -> Path:
    """The ELF file of a board's guest."""
    board = BOARDS[name]
    GUEST_DIR.mkdir(parents=True, exist_ok=True)
    elf = GUEST_DIR / f"board-{name}.elf"
    with failing_clearly(name):
        run_tool(f"{board.tools}as", *board.assemble, "-o", f"{elf}.o", str(GUESTS / f"{board.source}.S"))
        run_tool(f"{board.tools}ld", *board.link, "-o", str(elf), f"{elf}.o")
    return elf


Recorded = Callable[[str], Path]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The recording of a board's guest, made once; not to be changed."""
    root = tmp_path_factory.mktemp("boards")

    def once(name: str) -> Path:
        recording = root / name
        if not recording.exists():
            command = (*BOARDS[name].command, "-kernel", str(assembled(name)))
            asyncio.run(Recorder(RecordRequest(command, recording, max_icount=BOARDS[name].instructions)).run())
        return recording

    return once


@pytest.fixture(scope="session")
def multiboot32(recorded: Recorded) -> Path:
    """A recording of SeaBIOS and then a 32-bit program on qemu-system-x86_64."""
    return recorded("multiboot32")
