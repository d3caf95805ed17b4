"""A Linux guest whose only program runs three times at once (tests/guests/processes)."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from tests.guests.build import SOURCES, run_tool
from tests.guests.linux import Archive, LinuxGuest, fetch_kernel, fetch_modules

GCC = ("gcc", "-static", "-no-pie", "-g", "-Og", "-Wall", "-Wextra", "-Werror")
MODULES = ("virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk")
"""In the order in which they need each other, which the program knows by their numbers."""

CMDLINE = "console=ttyS0 nokaslr panic=-1 quiet norandmaps"


@dataclass(frozen=True, slots=True)
class Processes:
    """The guest, its program's ELF file, which has symbols and lines, and the image of its disk."""

    guest: LinuxGuest
    elf: Path
    disk: Path

    def pressed(self) -> Processes:
        """The same, whose page of the disk is dropped since there is no more memory, and not when it says so."""
        return replace(self, guest=replace(self.guest, cmdline=f"{self.guest.cmdline} press=1"))

    @property
    def command(self) -> tuple[str, ...]:
        """QEMU's words."""
        return (
            "qemu-system-x86_64", "-m", "128M", "-nographic", "-no-reboot", "-kernel", str(self.guest.kernel),
            "-initrd", str(self.guest.initrd), "-append", self.guest.cmdline,
            "-drive", f"file={self.disk},format=raw,if=virtio",
        )  # fmt: skip


def build_processes(out_dir: Path) -> Processes:
    """Build it below ``out_dir``, unless it is there."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    source = SOURCES / "processes" / "processes.c"
    kernel = fetch_kernel(out_dir)
    made_of = repr((GCC, MODULES, kernel.name, str(source), run_tool("gcc", "--version")))
    key = hashlib.sha256(made_of.encode() + source.read_bytes())
    elf = out_dir / f"processes-{key.hexdigest()[:12]}.elf"
    initrd, disk = elf.with_suffix(".cpio"), elf.with_suffix(".img")
    if not initrd.exists():
        run_tool(*GCC, "-o", str(elf), str(source))
        archive = Archive()
        archive.add("dev", stat.S_IFDIR | 0o755)
        archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        archive.add("init", stat.S_IFREG | 0o755, elf.read_bytes())
        archive.add("modules", stat.S_IFDIR | 0o755)
        for number, module in enumerate(fetch_modules(kernel, MODULES)):
            archive.add(f"modules/{number}", stat.S_IFREG | 0o644, module.read_bytes())
        with disk.open("wb") as file:
            file.truncate(1 << 20)
        made = initrd.with_suffix(f".{os.getpid()}")
        made.write_bytes(archive.finish())
        made.replace(initrd)
    return Processes(LinuxGuest(kernel, initrd, CMDLINE), elf, disk)
