"""A real Linux guest: Debian's cloud kernel with a busybox initramfs, neither of them installed.

The kernel is downloaded with apt-get from wherever this machine gets its packages, unpacked and kept.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from tests.guests.build import GuestError, run_tool, symbol
from tests.guests.linux import firmware

INIT = Path(__file__).parent / "init"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
APPLETS = ("cat", "cut", "dd", "grep", "ls", "md5sum", "mount", "poweroff", "rm", "seq", "sh", "uname", "wc")

CMDLINE = "console=ttyS0 nokaslr panic=-1"
"""No random addresses, so that symbols fit; a panic ends QEMU when it runs with -no-reboot."""

QEMU_OPTIONS = ("-m", "256M")
"""A machine that suits this guest, to which kernel, initrd, cmdline and a console are added."""

_SYMBOL_TYPES = {"T": "function", "D": "object", "B": "object", "d": "object", "b": "object"}
"""Kinds of symbols by their letters in /proc/kallsyms, those that the guest lists."""


@dataclass(frozen=True, slots=True)
class LinuxGuest:
    """What QEMU's -kernel, -initrd and -append take."""

    kernel: Path
    initrd: Path
    cmdline: str = CMDLINE


def build_linux(out_dir: Path) -> LinuxGuest:
    """Fetch the kernel and make the initramfs below `out_dir`, unless they are there."""
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    return LinuxGuest(fetch_kernel(out_dir), make_initramfs(out_dir / "initramfs.cpio"))


def fetch_kernel(out_dir: Path) -> Path:
    """Download and unpack the kernel that Debian's cloud images run now, unless there is one already.

    One that is there is kept until `make clean`: tests need neither the network nor apt for it.
    """
    for kernel in sorted(out_dir.glob("vmlinuz-*")):
        return kernel
    package = current_kernel_package()
    _unpack(package, out_dir)
    return out_dir / package.replace("linux-image", "vmlinuz")


def fetch_modules(kernel: Path, names: Sequence[str]) -> list[Path]:
    """The files of some of the kernel's modules, which lie beside it; what is not there is downloaded."""
    folder = kernel.with_name(kernel.name.replace("vmlinuz", "modules"))
    if not folder.exists():
        _unpack(kernel.name.replace("vmlinuz", "linux-image"), kernel.parent)
    return [folder / f"{name}.ko" for name in names]


def fetch_vmlinux(kernel: Path) -> Path:
    """The kernel's vmlinux with debugging information, which is kept beside it; 280 MB are downloaded for its 590."""
    release = kernel.name.removeprefix("vmlinuz-")
    return fetch_file(kernel.parent, f"linux-image-{release}-dbg", f"usr/lib/debug/boot/vmlinux-{release}")


def fetch_bpftool(out_dir: Path) -> Path:
    """Download and unpack bpftool, unless it is there."""
    return fetch_file(out_dir, "bpftool", "usr/sbin/bpftool")


def fetch_file(out_dir: Path, package: str, path: str) -> Path:
    """Download ``package`` and keep its file ``path`` below ``out_dir``, unless it is there."""
    kept = out_dir.resolve() / PurePath(path).name
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
            download(package, Path(scratch), f"./{path}").joinpath(path).replace(kept)
    return kept


def download(package: str, scratch: Path, files: str = "*") -> Path:
    """Download ``package`` and unpack those of its files whose paths fit, into a folder below ``scratch``."""
    try:
        run_tool("apt-get", "-qq", "download", package, folder=scratch)
    except GuestError as error:
        raise GuestError(f"cannot download {package}; try again after `apt-get update` ({error})") from None
    (archive,) = scratch.glob(f"{package}_*.deb")
    folder, unpacked = scratch / package, scratch / f"{package}.tar"
    folder.mkdir()
    with unpacked.open("wb") as file:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=file, check=True)
    run_tool("tar", "--extract", f"--file={unpacked}", f"--directory={folder}", "--wildcards", files)
    unpacked.unlink()
    return folder


def _unpack(package: str, out_dir: Path) -> None:
    """Put the kernel of `package` and its modules into `out_dir`."""
    with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
        folder = download(package, Path(scratch))
        modules = Path(scratch, "modules")
        modules.mkdir()
        for module in folder.joinpath("lib/modules").rglob("*.ko"):
            module.replace(modules / module.name)
        modules.replace(out_dir / package.replace("linux-image", "modules"))
        (unpacked,) = folder.joinpath("boot").glob("vmlinuz-*")
        unpacked.replace(out_dir / package.replace("linux-image", "vmlinuz"))


def build_buggy_linux(out_dir: Path) -> LinuxGuest:
    """The same with a firmware that writes into an object of the kernel (see `firmware`); it ends in a panic."""
    guest = build_linux(out_dir)
    victim = symbol(make_symbols(guest), firmware.VICTIM).address
    initrd = make_initramfs(guest.initrd.with_name("initramfs-bug.cpio"), {firmware.TABLE: firmware.table(victim)})
    return LinuxGuest(guest.kernel, initrd, f"{guest.cmdline} quiet oops=panic rrdbg_bug={firmware.DEVICE}")


def make_symbols(guest: LinuxGuest) -> Path:
    """An ELF file beside the kernel with addresses of its functions and global data, as the guest itself lists them.

    Debian's package with all of the kernel's debugging information is a gigabyte; this takes one boot. There is no code
    in the file: a debugger reads that from the guest.
    """
    elf = guest.kernel.with_name(guest.kernel.name.replace("vmlinuz", "kallsyms") + ".elf")
    if elf.exists():
        return elf
    with tempfile.TemporaryDirectory(dir=elf.parent) as scratch:
        console, source, made = (Path(scratch) / name for name in ("console", "symbols.S", "symbols.elf"))
        run_tool(
            "qemu-system-x86_64", *QEMU_OPTIONS, "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
            "-serial", f"file:{console}", "-kernel", str(guest.kernel), "-initrd", str(guest.initrd),
            "-append", f"{guest.cmdline} quiet rrdbg_symbols={firmware.VICTIM}",
        )  # fmt: skip
        listed = [line.split() for line in console.read_text(errors="replace").splitlines()]
        found = sorted(
            {
                (int(words[0], 16), words[2], words[1])
                for words in listed
                if len(words) == 3 and words[1] in _SYMBOL_TYPES
            }
        )
        if not found or "rrdbg-guest: symbols" not in console.read_text(errors="replace"):
            raise GuestError("the Linux guest did not list its symbols")
        text = next(address for address, name, _ in found if name == "_text")
        lines = ['.section .ktext, "ax", @nobits']
        for address, name, letter in found:
            if address >= text:
                kind = _SYMBOL_TYPES[letter]
                lines += [f".org {address - text:#x}", f".globl {name}", f".type {name}, @{kind}", f"{name}:"]
        source.write_text("\n".join([*lines, ".skip 16", ""]))
        run_tool("gcc", "-c", "-o", str(source.with_suffix(".o")), str(source))
        run_tool(
            "ld", f"--section-start=.ktext={text:#x}", "-e", "_text", "-o", str(made), str(source.with_suffix(".o"))
        )
        made.replace(elf)
    return elf


def current_kernel_package() -> str:
    """Return the name of the package that `KERNEL_PACKAGE` stands for today."""
    try:
        answer = run_tool("apt-cache", "depends", "--important", KERNEL_PACKAGE)
    except GuestError as error:
        raise GuestError(
            f"apt knows no package {KERNEL_PACKAGE}: this guest needs Debian on amd64, and `apt-get update` ({error})"
        ) from None
    for line in answer.splitlines():
        match line.split():
            case ["Depends:", name] if name.startswith("linux-image-"):
                return name
    raise GuestError(f"apt names no kernel for {KERNEL_PACKAGE}; it says: {answer.strip()}")


def find_busybox() -> Path:
    """The busybox of this machine."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise GuestError("busybox is missing, which the Linux guest needs: run `make setup`")
    return Path(busybox)


def make_initramfs(
    path: Path,
    files: Mapping[str, bytes] | None = None,
    *,
    programs: Mapping[str, bytes] | None = None,
    init: Path = INIT,
    applets: Sequence[str] = APPLETS,
    busybox: Path | None = None,
) -> Path:
    """Write an initramfs with ``busybox`` (this machine's, if none is given), ``init``, ``files`` and ``programs``.

    The same inputs give the same bytes.
    """
    busybox = busybox or find_busybox()
    if "INTERP" in run_tool("readelf", "--program-headers", "--wide", str(busybox)):
        raise GuestError(f"{busybox} needs shared libraries: install busybox-static in its place")
    archive = Archive()
    for folder in ("bin", "dev", "proc", "sys", "tmp"):
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    for applet in applets:
        archive.add(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("init", stat.S_IFREG | 0o755, init.read_bytes())
    for named, mode in ((files or {}, 0o644), (programs or {}, 0o755)):
        for name, data in named.items():
            for parent in reversed(PurePath(name).parents[:-1]):
                archive.add(str(parent), stat.S_IFDIR | 0o755)
            archive.add(name, stat.S_IFREG | mode, data)
    content = archive.finish()
    if not path.exists() or path.read_bytes() != content:
        scratch = path.with_suffix(".new")
        scratch.write_bytes(content)
        scratch.replace(path)
    return path


class Archive:
    """A cpio archive in the "newc" form that the kernel unpacks (its Documentation: initramfs buffer format).

    Owner root, time 0 and inode numbers in order: nothing of the machine it was made on gets in.
    """

    def __init__(self) -> None:
        self._content = bytearray()
        self._entries = 0

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._entries += 1
        self._write(name, self._entries, mode, data, device)

    def finish(self) -> bytes:
        self._write("TRAILER!!!", 0, 0, b"", (0, 0))
        return bytes(self._content)

    def _write(self, name: str, inode: int, mode: int, data: bytes, device: tuple[int, int]) -> None:
        owner = group = time = check = 0
        links = 1
        held_on = (0, 0)
        words = (inode, mode, owner, group, links, time, len(data), *held_on, *device, len(name) + 1, check)
        self._content += b"070701" + b"".join(b"%08x" % word for word in words) + name.encode() + b"\0"
        self._pad()
        self._content += data
        self._pad()

    def _pad(self) -> None:
        self._content += bytes(-len(self._content) % 4)
