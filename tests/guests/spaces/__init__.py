"""Programs with two address spaces for AArch64 and RISC-V, put together with binutils alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import run_tool
from tests.guests.foreign import STARTS

SOURCES = Path(__file__).parent

_PLACES = {
    "aarch64": (0x8000_0000, 0x4010_0000, 0x4002_0000, 0x4003_0000, 0x0000_FFFF_FFFF_F000, 0),
    "riscv64": (0x4000_0000, 0x8020_0000, 0x8012_0000, 0x8013_0000, (1 << 54) - 1 & ~0x3FF, 2),
}


@dataclass(frozen=True)
class SpacesGuest:
    """The command that runs it; where both spaces have memory of their own, and which frames that is.

    ``stores`` are the instructions that write to ``shared``, ``other`` the one that writes to the first frame by
    another address.
    """

    architecture: str
    image: Path
    stores: frozenset[int]
    other: int

    @property
    def command(self) -> Sequence[str]:
        machine = {"aarch64": "virt,gic-version=2", "riscv64": "virt"}[self.architecture]
        cpu = ("-cpu", "cortex-a53") if self.architecture == "aarch64" else ()
        options = ("-M", machine, "-m", "64M", "-nodefaults", "-serial", "stdio", "-bios", str(self.image))
        return (f"qemu-system-{self.architecture}", *cpu, *options)

    @property
    def shared(self) -> int:
        return _PLACES[self.architecture][0]

    @property
    def frames(self) -> tuple[int, int, int]:
        first = _PLACES[self.architecture][1]
        return first, first + 0x1000, first + 0x2000

    @property
    def roots(self) -> tuple[int, int]:
        return _PLACES[self.architecture][2], _PLACES[self.architecture][3]

    @property
    def entry(self) -> int:
        """The physical address of the entry for ``shared`` in the first space."""
        return self.roots[0] + 0x2000

    def frame_of(self, entry: int) -> int | None:
        """The frame that an entry leads to; None if it leads nowhere."""
        *_, mask, shift = _PLACES[self.architecture]
        return (entry & mask) << shift if entry & 1 else None


def build_spaces(architecture: str, out_dir: Path) -> SpacesGuest:
    """Build the program for ``architecture`` below ``out_dir``, unless it is there.

    :raises GuestError: its binutils are missing, or refuse the source.
    """
    source = SOURCES / f"{architecture}.S"
    out_dir.mkdir(parents=True, exist_ok=True)
    name = f"spaces-{architecture}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    image, object_file, elf = (out_dir.resolve() / f"{name}.{kind}" for kind in ("bin", "o", "elf"))
    tool = f"{architecture}-linux-gnu"
    if not image.exists():
        run_tool(f"{tool}-as", "-o", str(object_file), str(source))
        run_tool(f"{tool}-ld", f"-Ttext={STARTS[architecture]:#x}", "-o", str(elf), str(object_file))
        run_tool(f"{tool}-objcopy", "-O", "binary", "-j", ".text", str(elf), str(image))
    listed = run_tool(f"{tool}-nm", str(elf)).split("\n")
    symbols = {line.split()[2]: int(line.split()[0], 16) for line in listed if len(line.split()) == 3}
    stores = frozenset(symbols[name] for name in ("first_write", "first_again", "second_write"))
    return SpacesGuest(architecture, image, stores, symbols["by_other"])
