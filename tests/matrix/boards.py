"""Boards and their firmware: what firmware people record first. Those that rrdbg refuses belong to it, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import GuestError, run_tool
from tests.guests.real import MEMTEST, OVMF, U_BOOT
from tests.guests.rtos import build_rtos

_U_BOOT = Path("/usr/lib/u-boot")
_OTHER_QEMU = Path(__file__).parents[2] / "build" / "qemu-11"
_OF_BOARDS = Path(__file__).parents[1] / "boards" / "guests"


@dataclass(frozen=True, slots=True)
class Board:
    """A board with what runs on it: its ``command``, given the folder for built guests, and how long it is recorded.

    It ends after so many ``instructions``, or ``seconds`` if it has come to idle by then.
    """

    what: str
    command: Callable[[Path], Sequence[str]]
    instructions: int = 12_000_000
    seconds: float = 5.0


def _plain(program: str, *options: str) -> Callable[[Path], Sequence[str]]:
    return lambda _: (f"qemu-system-{program}", *options, "-nographic", *(("-nic", "none") if program != "arm" else ()))


def _with_file(program: str, option: str, file: Path, *options: str) -> Callable[[Path], Sequence[str]]:
    def command(_: Path) -> Sequence[str]:
        if not file.exists():
            raise GuestError(f"{file} is missing; scripts/setup installs what it belongs to")
        return (f"qemu-system-{program}", *options, "-nographic", option, str(file))

    return command


def _rtos(board: str) -> Board:
    def command(out_dir: Path) -> Sequence[str]:
        return ("qemu-system-arm", "-M", board, "-nographic", "-kernel", str(build_rtos(board, out_dir)))

    return Board("two tasks and a timer (`tests/guests/rtos`)", command, 1_200_000)


def _raspi(board: str) -> Board:
    def command(out_dir: Path) -> Sequence[str]:
        elf = out_dir / "raspi.elf"
        out_dir.mkdir(parents=True, exist_ok=True)
        run_tool("arm-none-eabi-as", "-mcpu=arm1176jzf-s", "-o", f"{elf}.o", str(_OF_BOARDS / "yield.S"))
        run_tool("arm-none-eabi-ld", "-Ttext", "0x8000", "-o", str(elf), f"{elf}.o")
        return ("qemu-system-arm", "-M", board, "-nographic", "-kernel", str(elf))

    return Board("a loop with `yield` and `wfe`", command, 2_000_000)


def _riscv32() -> Callable[[Path], Sequence[str]]:
    """Debian's QEMU 7.2 has no OpenSBI of 32 bits; that of a newer one is taken."""
    name = "opensbi-riscv32-generic-fw_dynamic.bin"
    folders = (Path(os.environ.get("QEMU_11", _OTHER_QEMU)) / "root/usr/share/qemu", Path("/usr/share/qemu"))
    file = next((folder / name for folder in folders if (folder / name).exists()), folders[-1] / name)
    opensbi = _with_file("riscv32", "-bios", file, "-M", "virt", "-m", "32")

    def command(out_dir: Path) -> Sequence[str]:
        # Without a program OpenSBI would go on into nothing, by millions of exceptions a second.
        elf = out_dir / "sbi.elf"
        out_dir.mkdir(parents=True, exist_ok=True)
        run_tool(
            "riscv64-linux-gnu-as", "-march=rv32i_zicsr", "-mabi=ilp32", "-o", f"{elf}.o", str(_OF_BOARDS / "sbi.S")
        )
        run_tool("riscv64-linux-gnu-ld", "-N", "-m", "elf32lriscv", "-Ttext", "0x80400000", "-o", str(elf), f"{elf}.o")
        return (*opensbi(out_dir), "-kernel", str(elf))

    return command


BOARDS: Mapping[str, Board] = {
    **{f"arm-{board}": _rtos(board) for board in ("mps2-an385", "microbit", "stm32vldiscovery", "lm3s6965evb")},
    "arm-virt-u-boot": Board(
        "U-Boot", _with_file("arm", "-bios", _U_BOOT / "qemu_arm/u-boot.bin", "-M", "virt", "-m", "64")
    ),
    "aarch64-virt-u-boot": Board(
        "U-Boot",
        _with_file("aarch64", "-bios", U_BOOT, "-M", "virt", "-cpu", "cortex-a57", "-m", "64"),
    ),
    "riscv64-virt-u-boot": Board(
        "OpenSBI, then U-Boot",
        _with_file("riscv64", "-kernel", _U_BOOT / "qemu-riscv64_smode/u-boot.bin", "-M", "virt", "-m", "64"),
        20_000_000,
        4.0,
    ),
    "riscv32-virt-opensbi": Board("OpenSBI, then a small program", _riscv32(), 30_000_000, 20.0),
    "i386-pc-seabios": Board("SeaBIOS, without a disk", _plain("i386", "-m", "16")),
    "i386-pc-u-boot": Board(
        "U-Boot", _with_file("i386", "-bios", _U_BOOT / "qemu-x86/u-boot.rom", "-m", "64", "-nic", "none")
    ),
    "x86_64-pc-u-boot": Board(
        "U-Boot in real mode, 32 bits, long mode",
        _with_file("x86_64", "-bios", _U_BOOT / "qemu-x86_64/u-boot.rom", "-m", "64", "-nic", "none"),
    ),
    "x86_64-pc-memtest": Board(
        "memtest86+",
        _with_file("x86_64", "-kernel", MEMTEST, "-append", "console=ttyS0", "-m", "32", "-nic", "none"),
    ),
    "x86_64-q35-ovmf": Board(
        "UEFI (OVMF)", _with_file("x86_64", "-bios", OVMF, "-M", "q35", "-m", "128", "-nic", "none"), 40_000_000
    ),
    "x86_64-isapc": Board("SeaBIOS on an ISA machine", _plain("x86_64", "-M", "isapc", "-m", "16")),
    "ppc-mac99": Board("OpenBIOS", _plain("ppc", "-M", "mac99", "-m", "64")),
    "ppc-g3beige": Board("OpenBIOS", _plain("ppc", "-M", "g3beige", "-m", "64")),
    "ppc-ppce500": Board("U-Boot", _plain("ppc", "-M", "ppce500", "-m", "64")),
    "ppc64-pseries": Board("SLOF", _plain("ppc64", "-M", "pseries", "-m", "256")),
    "s390x": Board("its own firmware", _plain("s390x", "-m", "64")),
    "mips-malta": Board("nothing", _plain("mips", "-M", "malta", "-m", "64")),
    "mipsel-malta": Board("nothing", _plain("mipsel", "-M", "malta", "-m", "64")),
    "arm-raspi0": _raspi("raspi0"),
    "arm-raspi1ap": _raspi("raspi1ap"),
    "arm-raspi2b": _raspi("raspi2b"),
    "aarch64-raspi3b": Board("nothing", _plain("aarch64", "-M", "raspi3b")),
}  # fmt: skip
