"""A Linux guest with a module of our own in which two threads race for a reference (tests/guests/refcount)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import SOURCES
from tests.guests.linux import APPLETS, LinuxGuest, make_initramfs
from tests.guests.linux.compiled import build_module

INIT = Path(__file__).parent / "refcount-init"
CMDLINE = "console=ttyS0 nokaslr panic=-1 quiet preempt=full"
"""Debian's kernel lets one thread come between two instructions of another in the kernel only if it is told to."""


@dataclass(frozen=True, slots=True)
class Refcount:
    """The guest, and on this host the file of its module, with debug information."""

    guest: LinuxGuest
    module: Path

    @property
    def command(self) -> tuple[str, ...]:
        """QEMU's words: a machine with little memory, all of which each try of a hunt writes once."""
        return (
            "qemu-system-x86_64", "-m", "128M", "-nodefaults", "-serial", "stdio", "-display", "none", "-no-reboot",
            "-kernel", str(self.guest.kernel), "-initrd", str(self.guest.initrd), "-append", self.guest.cmdline,
        )  # fmt: skip


def build_refcount(out_dir: Path) -> Refcount:
    """Build it below ``out_dir``, unless it is there."""
    out_dir = out_dir.resolve()
    kernel, folder = build_module(SOURCES / "refcount", out_dir)
    module = folder / "refcount.ko"
    initrd = make_initramfs(
        out_dir / "initramfs-refcount.cpio", {"modules/refcount.ko": module.read_bytes()},
        init=INIT, applets=(*APPLETS, "insmod"),
    )  # fmt: skip
    return Refcount(LinuxGuest(kernel, initrd, CMDLINE), module)
