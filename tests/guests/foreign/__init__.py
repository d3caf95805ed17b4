"""Small programs for other architectures, put together with binutils alone: raw code that QEMU takes for firmware."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import run_tool

SOURCES = Path(__file__).parent

STARTS = {"aarch64": 0, "arm": 0, "riscv64": 0x8000_0000}
"""Where the machine ``virt`` puts its firmware, by architecture."""

_TOOLS = {"aarch64": "aarch64-linux-gnu", "arm": "arm-none-eabi", "riscv64": "riscv64-linux-gnu"}
_MACHINES = {
    "aarch64": ("-M", "virt,gic-version=2", "-cpu", "cortex-a53"),
    "arm": ("-M", "virt", "-cpu", "cortex-a15"),
    "riscv64": ("-M", "virt"),
}


@dataclass(frozen=True)
class ForeignGuest:
    """A program and the command that runs it; ``counter`` is the address of a number that grows by one a round."""

    architecture: str
    image: Path
    counter: int

    @property
    def command(self) -> Sequence[str]:
        options = ("-m", "64M", "-nodefaults", "-serial", "stdio", "-bios", str(self.image))
        return (f"qemu-system-{self.architecture}", *_MACHINES[self.architecture], *options)

    @property
    def elf(self) -> Path:
        """The same with symbols."""
        return self.image.with_suffix(".elf")


def build_foreign(architecture: str, out_dir: Path, folder: Path = SOURCES) -> ForeignGuest:
    """Build the program for ``architecture`` in ``folder`` below ``out_dir``, unless it is there.

    :raises GuestError: its binutils are missing, or refuse the source.
    """
    source = folder / f"{architecture}.S"
    out_dir.mkdir(parents=True, exist_ok=True)
    name = f"{architecture}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    image, object_file, elf = (out_dir.resolve() / f"{name}.{kind}" for kind in ("bin", "o", "elf"))
    if not image.exists():
        tool = _TOOLS[architecture]
        run_tool(f"{tool}-as", "-o", str(object_file), str(source))
        run_tool(f"{tool}-ld", f"-Ttext={STARTS[architecture]:#x}", "-o", str(elf), str(object_file))
        run_tool(f"{tool}-objcopy", "-O", "binary", "-j", ".text", str(elf), str(image))
    return ForeignGuest(architecture, image, {"riscv64": 0x8010_0000}.get(architecture, 0x4000_0000))
