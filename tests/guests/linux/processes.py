"""A Linux guest whose only program runs three times at once (tests/guests/processes)."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import SOURCES, run_tool
from tests.guests.linux import Archive, LinuxGuest, fetch_kernel

GCC = ("gcc", "-static", "-no-pie", "-g", "-Og", "-Wall", "-Wextra", "-Werror")
CMDLINE = "console=ttyS0 nokaslr panic=-1 quiet norandmaps"


@dataclass(frozen=True, slots=True)
class Processes:
    """The guest, and its program's ELF file, which has symbols and lines."""

    guest: LinuxGuest
    elf: Path

    @property
    def command(self) -> tuple[str, ...]:
        """QEMU's words."""
        return (
            "qemu-system-x86_64", "-m", "128M", "-nographic", "-no-reboot", "-kernel", str(self.guest.kernel),
            "-initrd", str(self.guest.initrd), "-append", self.guest.cmdline,
        )  # fmt: skip


def build_processes(out_dir: Path) -> Processes:
    """Build it below ``out_dir``, unless it is there."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    source = SOURCES / "processes" / "processes.c"
    key = hashlib.sha256(repr((GCC, str(source), run_tool("gcc", "--version"))).encode() + source.read_bytes())
    elf = out_dir / f"processes-{key.hexdigest()[:12]}.elf"
    initrd = elf.with_suffix(".cpio")
    if not initrd.exists():
        run_tool(*GCC, "-o", str(elf), str(source))
        archive = Archive()
        archive.add("dev", stat.S_IFDIR | 0o755)
        archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        archive.add("init", stat.S_IFREG | 0o755, elf.read_bytes())
        made = initrd.with_suffix(f".{os.getpid()}")
        made.write_bytes(archive.finish())
        made.replace(initrd)
    return Processes(LinuxGuest(fetch_kernel(out_dir), initrd, CMDLINE), elf)
