"""Guests that nobody here wrote: what people really record, which idles, spins, or boots a whole distribution."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from tests.guests import linux
from tests.guests.build import GuestError, run_tool
from tests.guests.linux import build_linux
from tests.guests.linux.on_disk import make_loader, make_much

BUILT = Path(__file__).parents[2] / "build" / "guests"

OVMF = Path("/usr/share/ovmf/OVMF.fd")
MEMTEST = Path("/boot/memtest86+x64.bin")
U_BOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")

_DEBIAN = "bookworm"
_MUCH = 2 << 30
"""Bytes of the disk that is read into memory."""

_PACKAGES = "systemd-sysv,udev,dbus,iproute2,login,kmod"
_IMAGE_SIZE = "1G"
_LINES = ((20.0, "uname -a\n"), (10.0, "ls /bin\n"), (10.0, "echo typed\n"))
"""What is typed to the idle guest, and how many seconds after what came before."""


@dataclass(frozen=True, slots=True)
class RealGuest:
    """How a guest is recorded: its command, for how many seconds, what makes the clock run, and what is typed."""

    command: tuple[str, ...]
    seconds: float
    after: str | None = None
    """The seconds count from when the console has printed this."""
    typed: tuple[tuple[float, str], ...] = ()


def debian() -> RealGuest:
    """Debian with systemd on a virtio disk with a user network: to its login prompt, and 30 s on."""
    image = _debian_image()
    guest = build_linux(BUILT)
    command = (
        "qemu-system-x86_64", "-m", "512M", "-nographic", "-no-reboot",
        "-kernel", str(guest.kernel), "-initrd", str(make_loader(guest)),
        "-drive", f"file={image},format=raw,if=virtio", "-nic", "user,model=virtio-net-pci",
        "-append", "console=ttyS0 nokaslr quiet",
    )  # fmt: skip
    return RealGuest(command, 30.0, after="login:")


def ovmf() -> RealGuest:
    """UEFI, 10 s, of which it waits most at its shell's prompt."""
    command = ("qemu-system-x86_64", "-M", "q35", "-m", "128", "-bios", str(_file(OVMF)), "-nographic", "-net", "none")
    return RealGuest(command, 10.0)


def idle() -> RealGuest:
    """Linux with busybox, 60 s at a prompt, where a few lines are typed."""
    guest = build_linux(BUILT)
    command = (
        "qemu-system-x86_64", *linux.QEMU_OPTIONS, "-nographic", "-no-reboot", "-kernel", str(guest.kernel),
        "-initrd", str(guest.initrd), "-append", "console=ttyS0 nokaslr rdinit=/bin/sh",
    )  # fmt: skip
    return RealGuest(command, 60.0, typed=_LINES)


def memtest() -> RealGuest:
    """memtest86+ over 64 MiB, 10 s."""
    command = (
        "qemu-system-x86_64", "-m", "64", "-kernel", str(_file(MEMTEST)), "-append", "console=ttyS0", "-nographic",
    )  # fmt: skip
    return RealGuest(command, 10.0)


def u_boot() -> RealGuest:
    """U-Boot on aarch64, 6 s."""
    command = (
        "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "128", "-bios", str(_file(U_BOOT)),
        "-nographic",
    )  # fmt: skip
    return RealGuest(command, 6.0)


def much_memory() -> RealGuest:
    """Linux with 4 GiB, of which 2 GiB hold what was read from a disk, each page another content."""
    guest = build_linux(BUILT)
    image = BUILT / "random.raw"
    if not image.exists():
        with image.with_suffix(".draft").open("wb") as draft:
            for _ in range(_MUCH >> 20):
                draft.write(random.randbytes(1 << 20))
        image.with_suffix(".draft").replace(image)
    command = (
        "qemu-system-x86_64", "-m", "4G", "-nographic", "-no-reboot", "-nic", "none", "-kernel", str(guest.kernel),
        "-initrd", str(make_much(guest)), "-append", "console=ttyS0 nokaslr panic=-1",
        "-drive", f"file={image},format=raw,if=virtio,readonly=on",
    )  # fmt: skip
    return RealGuest(command, 300.0)


REAL_GUESTS: Mapping[str, Callable[[], RealGuest]] = {
    "debian": debian, "ovmf": ovmf, "idle": idle, "memtest": memtest, "u-boot": u_boot, "much-memory": much_memory,
}  # fmt: skip


async def record(guest: RealGuest, directory: Path, seconds: float | None = None) -> None:
    """Record ``guest`` into ``directory``, which is not there yet, for its own or from its start so many ``seconds``.

    :raises RrdbgError: that did not go well.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    length = seconds or guest.seconds
    after = None if seconds else guest.after
    seen = bytearray()
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()

    def printed(data: bytes) -> None:
        seen.extend(data)
        if after and not timers and after.encode() in seen:
            end_after()

    def end_after() -> None:
        timers.append(loop.call_later(length, recorder.stop, f"{length:.0f} s had passed"))

    recorder = Recorder(RecordRequest(guest.command, directory), on_console=printed)
    recording = asyncio.create_task(recorder.run())
    try:
        if not after:
            end_after()
        at = 0.0
        for pause, line in guest.typed:
            at += pause
            timers.append(loop.call_later(at, recorder.type, line.encode()))
        await recording
    finally:
        recording.cancel()
        for timer in timers:
            timer.cancel()


def _file(path: Path) -> Path:
    if not path.exists():
        raise GuestError(f"{path} is missing; scripts/setup installs what it belongs to.")
    return path


def _debian_image() -> Path:
    """A raw image with an ext4 file system and Debian in it; made by debootstrap, which takes root and a minute."""
    image = BUILT / f"debian-{_DEBIAN}.raw"
    if not image.exists():
        with tempfile.TemporaryDirectory(dir=BUILT) as scratch:
            root, draft = Path(scratch) / "root", Path(scratch) / "image"
            mirror = os.environ.get("MIRROR", "")
            run_tool("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _DEBIAN, str(root), mirror)
            shutil.rmtree(root / "var/cache/apt/archives")
            (root / "etc/hostname").write_text("debian\n")
            (root / "init").symlink_to("sbin/init")
            run_tool("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(draft), _IMAGE_SIZE)
            draft.replace(image)
    return image
