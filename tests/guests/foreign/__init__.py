"""Small programs for other architectures, put together with binutils alone: raw code that QEMU takes for firmware."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import run_tool

SOURCES = Path(__file__).parent

STARTS = {"aarch64": 0, "riscv64": 0x8000_0000}
"""Where the machine ``virt`` puts its firmware, by architecture."""


@dataclass(frozen=True)
class ForeignGuest:
    """A program and the command that runs it; ``counter`` is the address of a number that grows by one a round."""

    architecture: str
    image: Path
    counter: int

    @property
    def command(self) -> Sequence[str]:
        machine = {"aarch64": "virt,gic-version=2", "riscv64": "virt"}[self.architecture]
        options = ("-M", machine, "-m", "64M", "-nodefaults", "-serial", "stdio", "-bios", str(self.image))
        cpu = ("-cpu", "cortex-a53") if self.architecture == "aarch64" else ()
        return (f"qemu-system-{self.architecture}", *cpu, *options)


def build_foreign(architecture: str, out_dir: Path) -> ForeignGuest:
    """Build the program for ``architecture`` below ``out_dir``, unless it is there.

    :raises GuestError: its binutils are missing, or refuse the source.
    """
    source = SOURCES / f"{architecture}.S"
    out_dir.mkdir(parents=True, exist_ok=True)
    name = f"{architecture}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    image, object_file, elf = (out_dir.resolve() / f"{name}.{kind}" for kind in ("bin", "o", "elf"))
    if not image.exists():
        tool = f"{architecture}-linux-gnu"
        run_tool(f"{tool}-as", "-o", str(object_file), str(source))
        run_tool(f"{tool}-ld", f"-Ttext={STARTS[architecture]:#x}", "-o", str(elf), str(object_file))
        run_tool(f"{tool}-objcopy", "-O", "binary", "-j", ".text", str(elf), str(image))
    return ForeignGuest(architecture, image, {"aarch64": 0x4000_0000, "riscv64": 0x8010_0000}[architecture])
