"""Firmware and loaders of x86 that go through its modes: how each is recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import GUEST_DIR
from tests.guests.build import GuestError, run_tool
from tests.guests.linux import build_linux
from tests.guests.real import MEMTEST

_U_BOOT = Path("/usr/lib/u-boot/qemu-x86_64/u-boot.rom")
_SOURCE = Path(__file__).parent / "guests" / "boot.S"
_FLOPPY_BYTES = 1440 * 1024
_GRUB = 'serial --unit=0\nterminal_output serial\nterminal_input serial\necho "GRUB is up"\n'


@dataclass(frozen=True)
class Firmware:
    """What QEMU is given, and for how many instructions and seconds it is recorded."""

    words: Callable[[], Sequence[str]]
    instructions: int
    seconds: float = 20.0
    memory: str = "64"

    @property
    def command(self) -> Sequence[str]:
        return (
            *("qemu-system-x86_64", "-m", self.memory, "-nodefaults", "-display", "none", "-serial", "stdio"),
            *self.words(),
        )


def boot_sector() -> Path:
    """The ELF file of a boot sector that goes through all modes; the floppy disk is beside it."""
    GUEST_DIR.mkdir(parents=True, exist_ok=True)
    elf = GUEST_DIR / "board-boot.elf"
    run_tool("as", "--64", "-o", f"{elf}.o", str(_SOURCE))
    run_tool("ld", "-m", "elf_x86_64", "-Ttext", "0x7c00", "-o", str(elf), f"{elf}.o")
    run_tool("objcopy", "-O", "binary", "-j", ".text", str(elf), str(_floppy()))
    with _floppy().open("r+b") as file:
        file.truncate(_FLOPPY_BYTES)
    return elf


def _floppy() -> Path:
    return GUEST_DIR / "board-boot.img"


def _boot() -> Sequence[str]:
    boot_sector()
    return ("-drive", f"file={_floppy()},format=raw,if=floppy")


def _grub() -> Sequence[str]:
    image = GUEST_DIR / "board-grub.iso"
    if not image.exists():
        with tempfile.TemporaryDirectory() as folder:
            configuration = Path(folder) / "boot" / "grub" / "grub.cfg"
            configuration.parent.mkdir(parents=True)
            configuration.write_text(_GRUB)
            run_tool("grub-mkrescue", "-o", str(image), folder)
    return ("-cdrom", str(image))


def _linux() -> Sequence[str]:
    guest = build_linux(GUEST_DIR)
    return ("-kernel", str(guest.kernel), "-append", "console=ttyS0 nokaslr")


def _with(option: str, file: Path) -> Callable[[], Sequence[str]]:
    def words() -> Sequence[str]:
        if not file.exists():
            raise GuestError(f"{file} is missing; scripts/setup installs what it belongs to")
        return (option, str(file))

    return words


FIRMWARE: Mapping[str, Firmware] = {
    "boot": Firmware(_boot, 8_000_000),
    "seabios": Firmware(lambda: (), 2_500_000),
    "grub": Firmware(_grub, 150_000_000),
    "memtest": Firmware(_with("-kernel", MEMTEST), 60_000_000),
    "u-boot": Firmware(_with("-bios", _U_BOOT), 60_000_000),
    "linux": Firmware(_linux, 200_000_000, memory="256"),
}
