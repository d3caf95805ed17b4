"""A Linux guest with a module of our own that has a bug, which three processes come upon (tests/guests/mailbox).

The module is compiled here, with the headers of Debian's kernel, which are downloaded and unpacked, not installed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import SOURCES, GuestError, run_tool
from tests.guests.linux import APPLETS, LinuxGuest, fetch_kernel, make_initramfs

INIT = Path(__file__).parent / "mailbox-init"
CMDLINE = "console=ttyS0 panic=-1"

_HERE = SOURCES / "mailbox"
_GCC = ("gcc", "-O1", "-g", "-static", "-Wall", "-Wextra", "-Werror", "-Wno-unused-result")
_INSTALLED = "/usr/src/"
"""Where Debian's headers look for one another."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The guest, and on this host the file of its module, with debug information."""

    guest: LinuxGuest
    module: Path


def build_mailbox(out_dir: Path) -> Mailbox:
    """Build it below ``out_dir``, unless it is there."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    kernel = fetch_kernel(out_dir)
    key = hashlib.sha256(repr((kernel.name, _GCC, run_tool("gcc", "--version"))).encode())
    for source in sorted(_HERE.iterdir()):
        key.update(source.name.encode() + b"\0" + source.read_bytes())
    folder = out_dir / f"mailbox-{key.hexdigest()[:12]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
            made = Path(scratch) / "made"
            shutil.copytree(_HERE, made)
            _compile(made, kernel.name.removeprefix("vmlinuz-"), Path(scratch))
            made.replace(folder)
    module = folder / "mailbox.ko"
    initrd = make_initramfs(
        out_dir / "initramfs-mailbox.cpio", {"modules/mailbox.ko": module.read_bytes()},
        programs={"people": (folder / "people").read_bytes()}, init=INIT, applets=(*APPLETS, "insmod"),
    )  # fmt: skip
    return Mailbox(LinuxGuest(kernel, initrd, CMDLINE), module)


def _compile(folder: Path, release: str, scratch: Path) -> None:
    """Make the module and the program in ``folder``, for the kernel of that ``release``."""
    run_tool(*_GCC, "-o", str(folder / "people"), str(folder / "people.c"))
    headers = _headers(release, scratch)
    # A debugger is to find the source where it lies here.
    run_tool("make", "-C", str(headers), f"M={folder}", f"KCFLAGS=-fdebug-prefix-map={folder}={_HERE}", "modules")


def _headers(release: str, scratch: Path) -> Path:
    """What a module for the kernel of that ``release`` is compiled with, unpacked below ``scratch``."""
    named = run_tool("apt-cache", "depends", "--important", f"linux-headers-{release}").splitlines()
    needed = [
        words[1] for words in map(str.split, named) if words[:1] == ["Depends:"] and words[1].startswith("linux-")
    ]
    try:
        run_tool("apt-get", "-qq", "download", f"linux-headers-{release}", *needed, folder=scratch)
    except GuestError as error:
        raise GuestError(f"cannot download the headers of {release}; try `apt-get update` ({error})") from None
    root = scratch / "headers"
    for archive in scratch.glob("*.deb"):
        run_tool("dpkg-deb", "--extract", str(archive), str(root))
    headers = root / "usr/src" / f"linux-headers-{release}"
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace(_INSTALLED, f"{root}{_INSTALLED}"))
    return headers
