"""A Linux guest at an address of its own choosing (KASLR), whose init tells where things are and who runs."""

from __future__ import annotations

from pathlib import Path

from tests.guests.linux import APPLETS, LinuxGuest, fetch_kernel, make_initramfs

INIT = Path(__file__).parent / "tasks-init"
CMDLINE = "console=ttyS0 panic=-1"


def build_tasks(out_dir: Path) -> LinuxGuest:
    """Build it below ``out_dir``, unless it is there."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    initrd = make_initramfs(out_dir / "initramfs-tasks.cpio", init=INIT, applets=(*APPLETS, "ps"))
    return LinuxGuest(fetch_kernel(out_dir), initrd, CMDLINE)
