"""Linux whose root is a disk: the same kernel boots into an ext4 file system on a virtio disk, and writes to it.

Debian's cloud kernel has its virtio drivers as modules, so an initramfs loads them and hands over to the disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import run_tool
from tests.guests.linux import (
    CMDLINE,
    LinuxGuest,
    build_linux,
    fetch_modules,
    find_busybox,
    make_initramfs,
)

LOADER = Path(__file__).parent / "load-root"
MUCH = Path(__file__).parent / "load-much"
ROOT_INIT = Path(__file__).parent / "root-init"
MODULES = (
    *("virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"),
    *("failover", "net_failover", "virtio_net"),
)
"""In the order in which they need each other."""

_LOADER_APPLETS = ("insmod", "mkdir", "mount", "sh", "switch_root")
_MUCH_APPLETS = ("dd", "insmod", "md5sum", "mount", "poweroff", "seq", "sh")
_APPLETS = ("cut", "grep", "ip", "md5sum", "mount", "poweroff", "seq", "sh", "sync", "tail", "wc", "wget")


@dataclass(frozen=True, slots=True)
class DiskGuest:
    """The kernel with the initramfs that loads drivers, and a raw image with the root file system."""

    linux: LinuxGuest
    image: Path


def make_loader(guest: LinuxGuest) -> Path:
    """An initramfs for ``guest`` that loads drivers and hands over to the disk's ``/init``, beside its own."""
    return _with_drivers(guest, "initramfs-disk.cpio", LOADER, _LOADER_APPLETS)


def make_much(guest: LinuxGuest) -> Path:
    """An initramfs for ``guest`` that fills memory with all of its disk, works a little and ends, beside its own."""
    return _with_drivers(guest, "initramfs-much.cpio", MUCH, _MUCH_APPLETS)


def _with_drivers(guest: LinuxGuest, name: str, init: Path, applets: Sequence[str]) -> Path:
    modules = fetch_modules(guest.kernel, MODULES)
    files = {f"modules/{number}-{module.name}": module.read_bytes() for number, module in enumerate(modules)}
    return make_initramfs(guest.initrd.with_name(name), files, init=init, applets=applets)


def build_linux_on_disk(out_dir: Path, image: Path) -> DiskGuest:
    """Make the initramfs below ``out_dir``, and a fresh root file system in the file ``image``."""
    guest = build_linux(out_dir)
    initrd = make_loader(guest)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for folder in ("bin", "dev", "proc", "sys", "kept"):
            (root / folder).mkdir()
        shutil.copy(find_busybox(), root / "bin" / "busybox")
        for applet in _APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        shutil.copy(ROOT_INIT, root / "init")
        (root / "init").chmod(0o755)
        run_tool("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(image), "16M")
    return DiskGuest(LinuxGuest(guest.kernel, initrd, f"{CMDLINE} quiet"), image)
