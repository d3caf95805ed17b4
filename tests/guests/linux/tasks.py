"""A Linux guest at an address of its own choosing (KASLR), whose init tells where things are and who runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tests.guests.build import SOURCES, run_tool
from tests.guests.linux import APPLETS, LinuxGuest, fetch_kernel, fetch_modules, make_initramfs

INIT = Path(__file__).parent / "tasks-init"
CMDLINE = "console=ttyS0 panic=-1"
MODULE = "failover"
"""One that needs no other."""

_GCC = ("gcc", "-g", "-Og", "-fPIE", "-pie", "-Wall", "-Wextra", "-Werror", "-Wno-unused-result")
_LINKER = "lib64/ld-linux-x86-64.so.2"


@dataclass(frozen=True, slots=True)
class Tasks:
    """The guest, and on this host the files of its program, of the library that this uses, and of its module."""

    guest: LinuxGuest
    program: Path
    library: Path
    module: Path


def build_tasks(out_dir: Path) -> Tasks:
    """Build it below ``out_dir``, unless it is there."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    kernel = fetch_kernel(out_dir)
    (module,) = fetch_modules(kernel, [MODULE])
    program = _build_witness(out_dir)
    library = Path(run_tool("gcc", "-print-file-name=libc.so.6").strip()).resolve()
    initrd = make_initramfs(
        out_dir / "initramfs-tasks.cpio", {f"modules/{module.name}": module.read_bytes()},
        programs={
            "witness": program.read_bytes(), _LINKER: Path("/", _LINKER).read_bytes(),
            "usr/lib/libc.so.6": library.read_bytes(),
        },
        init=INIT, applets=(*APPLETS, "insmod", "ps"),
    )  # fmt: skip
    return Tasks(LinuxGuest(kernel, initrd, CMDLINE), program, library, module)


def _build_witness(out_dir: Path) -> Path:
    source = SOURCES / "witness" / "witness.c"
    key = hashlib.sha256(repr((_GCC, run_tool("gcc", "--version"))).encode() + source.read_bytes())
    folder = out_dir / f"witness-{key.hexdigest()[:12]}"
    program = folder / "witness"
    if not program.exists():
        folder.mkdir(exist_ok=True)
        made = folder / "new"
        run_tool(*_GCC, "-o", str(made), str(source))
        made.replace(program)
    return program
