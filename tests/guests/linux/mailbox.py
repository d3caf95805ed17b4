"""A Linux guest with a module of our own that has a bug, which three processes come upon (tests/guests/mailbox)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import SOURCES, run_tool
from tests.guests.linux import APPLETS, LinuxGuest, make_initramfs
from tests.guests.linux.compiled import build_module

INIT = Path(__file__).parent / "mailbox-init"
CMDLINE = "console=ttyS0 panic=-1"

_GCC = ("gcc", "-O1", "-g", "-static", "-Wall", "-Wextra", "-Werror", "-Wno-unused-result")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The guest, and on this host the file of its module, with debug information."""

    guest: LinuxGuest
    module: Path


def build_mailbox(out_dir: Path) -> Mailbox:
    """Build it below ``out_dir``, unless it is there."""
    out_dir = out_dir.resolve()

    def people(folder: Path) -> None:
        run_tool(*_GCC, "-o", str(folder / "people"), str(folder / "people.c"))

    kernel, folder = build_module(SOURCES / "mailbox", out_dir, *_GCC, beside=people)
    module = folder / "mailbox.ko"
    initrd = make_initramfs(
        out_dir / "initramfs-mailbox.cpio", {"modules/mailbox.ko": module.read_bytes()},
        programs={"people": (folder / "people").read_bytes()}, init=INIT, applets=(*APPLETS, "insmod"),
    )  # fmt: skip
    return Mailbox(LinuxGuest(kernel, initrd, CMDLINE), module)
