"""A Linux guest whose only program runs three times at once (tests/guests/processes)."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.guests.build import SOURCES, run_tool
from tests.guests.linux import Archive, LinuxGuest, fetch_kernel

GCC = ("gcc", "-static", "-no-pie", "-g", "-Og", "-Wall", "-Wextra", "-Werror")
CMDLINE = "console=ttyS0 nokaslr panic=-1 quiet norandmaps"


def build_processes(out_dir: Path) -> tuple[LinuxGuest, Path]:
    """The guest, and its program's ELF file, which has symbols and lines."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    elf = out_dir / "processes.elf"
    run_tool(*GCC, "-o", str(elf), str(SOURCES / "processes" / "processes.c"))
    archive = Archive()
    archive.add("dev", stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("init", stat.S_IFREG | 0o755, elf.read_bytes())
    initrd = out_dir / "processes.cpio"
    initrd.write_bytes(archive.finish())
    return LinuxGuest(fetch_kernel(out_dir), initrd, CMDLINE), elf
