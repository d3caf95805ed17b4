"""Linux guests of other architectures: Debian's kernels and busybox, fetched with apt-get and unpacked, not installed.

apt-get is given lists and a status of its own below `out_dir`, so that this machine's know nothing of it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import GuestError, run_tool
from tests.guests.linux import LinuxGuest, make_initramfs

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True, slots=True)
class Port:
    """One of Debian's ports: its name, a release that has it, the package of a kernel, and how that is started."""

    name: str
    suite: str
    kernel: str
    qemu_options: Sequence[str]
    console: str


PORTS = {
    "aarch64": Port("arm64", "trixie", "linux-image-cloud-arm64", ("-M", "virt", "-cpu", "cortex-a53"), "ttyAMA0"),
    "riscv64": Port("riscv64", "forky", "linux-image-riscv64", ("-M", "virt"), "ttyS0"),
}
"""By QEMU's name of the architecture."""


def build_foreign_linux(architecture: str, out_dir: Path) -> LinuxGuest:
    """Fetch kernel and busybox for ``architecture`` and make the initramfs below ``out_dir``, unless they are there.

    :raises GuestError: Debian's mirror does not give them.
    """
    port = PORTS[architecture]
    out_dir = out_dir.resolve() / f"linux-{architecture}"
    out_dir.mkdir(parents=True, exist_ok=True)
    kernel, busybox = out_dir / "vmlinuz", out_dir / "busybox"
    if not (kernel.exists() and busybox.exists()):
        with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
            apt = _Apt(port, Path(scratch))
            apt.unpack("busybox-static").joinpath("usr/bin/busybox").replace(busybox)
            _kernel_in(apt.unpack(apt.newest_kernel())).replace(kernel)
    initrd = make_initramfs(out_dir / "initramfs.cpio", busybox=busybox)
    return LinuxGuest(kernel, initrd, f"console={port.console} nokaslr panic=-1")


def _kernel_in(folder: Path) -> Path:
    found = sorted(folder.rglob("vmlinu[xz]*"))
    if not found:
        raise GuestError(f"the kernel's package has no vmlinuz, only {[path.name for path in folder.rglob('*')][:9]}")
    return found[0]


def _mirror() -> str:
    """Where packages of other architectures come from: from where apt here has its own, or what MIRROR says."""
    if chosen := os.environ.get("MIRROR"):
        return chosen
    own = ("Created-By: Packages", "Label: Debian")
    listed = run_tool("apt-get", "indextargets", "--format", "$(REPO_URI)", *own).split()
    if not listed:
        raise GuestError("apt knows of no Debian here; run `apt-get update`, or name one in MIRROR")
    return listed[0]


class _Apt:
    """apt-get for another architecture, with all that it writes below ``folder``."""

    def __init__(self, port: Port, folder: Path) -> None:
        self._port = port
        self._folder = folder
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(
            f"deb [arch={port.name} signed-by={_KEYRING}] {_mirror()} {port.suite} main\n"
        )
        settings = {
            "APT::Architecture": port.name,
            "APT::Architectures": port.name,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Dir::State::status": folder / "status",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": folder / "parts",
        }
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        self._run("apt-get", "-qq", "update")

    def newest_kernel(self) -> str:
        """The package with the kernel's image; newer releases have parted it from ``linux-image``."""
        answer = self._run("apt-cache", "depends", "--important", self._port.kernel)
        named = re.search(r"Depends: linux-image-(\S+)", answer)
        if named is None:
            raise GuestError(f"apt names no kernel for {self._port.kernel}; it says: {answer.strip()}")
        listed = self._run("apt-cache", "pkgnames", f"linux-binary-{named[1]}").split()
        return next(iter(listed), f"linux-image-{named[1]}")

    def unpack(self, package: str) -> Path:
        """The folder with what ``package`` holds."""
        folder = self._folder / package
        folder.mkdir()
        self._run("apt-get", "-qq", "download", package, folder=folder)
        (archive,) = folder.glob("*.deb")
        run_tool("dpkg-deb", "--extract", str(archive), str(folder))
        return folder

    def _run(self, tool: str, *words: str, folder: Path | None = None) -> str:
        return run_tool(tool, *self._options, *words, folder=folder or self._folder)
