"""A Linux guest in which strace itself tells of a program that makes many kinds of system calls; then it runs alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.guests.build import run_tool
from tests.guests.linux import APPLETS, LinuxGuest, fetch_kernel, make_initramfs
from tests.guests.linux.tasks import CMDLINE
from tests.guests.linux.tools import fetch_tool

INIT = Path(__file__).parent / "asker-init"
_PROGRAM = "usr/bin/strace"
_LINKER = "lib64/ld-linux-x86-64.so.2"
_LIBRARIES = "lib/x86_64-linux-gnu"


def build_asker(out_dir: Path) -> LinuxGuest:
    """Build it below ``out_dir``; strace and what it needs are downloaded, unless they are there."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    strace = fetch_tool(out_dir, "strace", "libunwind8", "liblzma5")
    with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
        program = Path(scratch, "asker")
        run_tool("gcc", "-Og", "-Wall", "-Wextra", "-Wno-unused-result", "-o", str(program), "asker/asker.c")
        programs = {"asker": program.read_bytes(), _LINKER: Path("/", _LINKER).read_bytes()}
    for path in strace.iterdir():
        programs[_PROGRAM if path.name == "strace" else f"{_LIBRARIES}/{path.name}"] = path.read_bytes()
    library = run_tool("gcc", "-print-file-name=libc.so.6").strip()
    programs[f"{_LIBRARIES}/libc.so.6"] = Path(library).read_bytes()
    initrd = make_initramfs(out_dir / "initramfs-asker.cpio", programs=programs, init=INIT, applets=APPLETS)
    return LinuxGuest(fetch_kernel(out_dir), initrd, CMDLINE)
