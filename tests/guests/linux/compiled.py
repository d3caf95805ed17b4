"""Modules of our own for Debian's kernel: compiled here, with its headers, which are downloaded and not installed."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.guests.build import GuestError, run_tool
from tests.guests.linux import fetch_kernel

_INSTALLED = "/usr/src/"
"""Where Debian's headers look for one another."""


def build_module(
    source: Path, out_dir: Path, *made_with: str, beside: Callable[[Path], None] = lambda folder: None
) -> tuple[Path, Path]:
    """The kernel, and a folder below ``out_dir`` with the module of ``source`` for it, made unless it is there.

    ``beside`` makes what else there is to be in that folder, ``made_with`` what these words say.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    kernel = fetch_kernel(out_dir)
    key = hashlib.sha256(repr((kernel.name, made_with, run_tool("gcc", "--version"))).encode())
    for file in sorted(source.iterdir()):
        key.update(file.name.encode() + b"\0" + file.read_bytes())
    folder = out_dir / f"{source.name}-{key.hexdigest()[:12]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
            made = Path(scratch) / "made"
            shutil.copytree(source, made)
            beside(made)
            headers = _headers(kernel.name.removeprefix("vmlinuz-"), Path(scratch))
            # A debugger is to find the source where it lies here.
            run_tool("make", "-C", str(headers), f"M={made}", f"KCFLAGS=-fdebug-prefix-map={made}={source}", "modules")
            made.replace(folder)
    return kernel, folder


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
