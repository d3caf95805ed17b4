"""Devices that no replay gets past, by QEMU's name: each with the reason and what to take in its place.

Each was tried, or shows in QEMU's source: a timer that no snapshot holds, memory that others write to, a host that has
the device. ``rrdbg record`` and ``rrdbg doctor`` both ask here, about what the command line names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rrdbg.errors import UsageError

_POINTER = "virtio-keyboard-pci, virtio-tablet-pci, or the board's own keyboard and mouse"
_IMAGE = "give the guest its files in an image or an initramfs"


@dataclass(frozen=True, slots=True)
class Refused:
    """Devices whose names begin with one of ``names``: ``why`` goes on after the name, ``instead`` after "use" or so.

    ``also`` are beginnings of the names of other devices, without which these do no harm.
    """

    names: tuple[str, ...]
    why: str
    instead: str
    also: tuple[str, ...] = ()


_HOST = "belongs to the host, and what comes from there is in no log"
_SHARED = "shares memory with another program, and what that writes is in no log"
_TIMER = "sets a timer that no snapshot holds, and the replay stands still"

REFUSED: Sequence[Refused] = (
    # Tried with SeaBIOS on 7.2, 10.0 and 11.1: a plain replay stands still after 2.3 M instructions.
    Refused(("usb-ehci", "ich9-usb-ehci", "sysbus-usb-ehci"), _TIMER, "use piix3-usb-uhci, or leave USB out"),
    # hid_post_load sets the idle timer anew, at another moment (hw/input/hid.c); SeaBIOS sets an idle rate.
    Refused(
        ("usb-kbd",),
        "sets its timer anew when a snapshot is loaded, and the replay stands still",
        f"use {_POINTER}",
    ),
    # kick_timer is not in the state (hw/usb/hcd-xhci.c); without a device it is not set.
    Refused(
        ("qemu-xhci", "nec-usb-xhci"),
        f"with a USB device {_TIMER}",
        f"use {_POINTER}; virtio-blk-pci for a disk",
        also=("usb-",),
    ),
    Refused(("usb-host", "usb-redir", "u2f-passthru", "ccid-card-passthru", "vfio-", "tpm-"), _HOST, "leave it out"),
    Refused(("virtio-9p", "vhost-user-fs"), _HOST, _IMAGE),
    Refused(("vhost-user-", "ivshmem-"), _SHARED, "use the virtio device without vhost-user"),
    Refused(
        ("vhost-vsock", "vhost-scsi", "vhost-vdpa"),
        "is the host kernel's, which writes to the guest's memory past any log",
        "use a virtio device of QEMU's own, such as virtio-serial-pci or virtio-blk-pci",
    ),
    # post_load finds no second bank: assertion "mr->alias" (tried on 7.2).
    Refused(("isa-cirrus-vga",), "aborts QEMU when a snapshot is loaded", "use -vga std"),
)

REFUSED_OPTIONS: Mapping[str, str] = {
    "virtfs": f"-virtfs shows the guest a folder of the host, whose answers are in no log; {_IMAGE}",
    "fsdev": f"-fsdev shows the guest a folder of the host, whose answers are in no log; {_IMAGE}",
    "tpmdev": "-tpmdev is another program, or the host's chip, whose answers are in no log; leave it out",
}
"""Options with which the host takes part in the guest."""


class Devices:
    """The devices of one command line, as they are met."""

    def __init__(self) -> None:
        self._drivers: list[str] = []

    def take(self, driver: str) -> None:
        """Take the driver of a ``-device``.

        :raises UsageError: no replay gets past it, or past it and one of those before.
        """
        self._drivers.append(driver)
        for refused in REFUSED:
            found = next((name for name in self._drivers if name.startswith(refused.names)), None)
            if found is None or (refused.also and not any(name.startswith(refused.also) for name in self._drivers)):
                continue
            raise UsageError(f"This cannot be recorded: the device {found} {refused.why}; {refused.instead}.")


def check_backend(properties: Mapping[str, str]) -> None:
    """Look at an ``-object``, of which ``properties`` are told.

    :raises UsageError: it is memory that others write to.
    """
    kind = properties.get("qom-type", "")
    if kind == "memory-backend-file" and properties.get("share") == "on":
        raise UsageError(
            f"This cannot be recorded: -object {kind} with share=on, a file that others write to and that all replays "
            "would share; leave share=on out."
        )


_BOARDS = (
    # spapr_dt_chosen asks for an rng-seed at each reset, so also when a snapshot is loaded: "Missing random event".
    (
        ("pseries",),
        "takes new random numbers of the host whenever a snapshot is loaded, and the log has none for that",
        "use another one, such as mac99 or g3beige",
    ),
    # sd_ocr_powerup finds the card powered up already (tried on 7.2 and 11.1).
    (
        ("lm3s6965evb",),
        "has an SD card that aborts QEMU when a snapshot is loaded",
        "use mps2-an385, microbit or stm32vldiscovery",
    ),
    # There is no target.xml in gdb-xml/ for them (7.2 to 11.1).
    (
        ("malta", "mipssim", "magnum", "pica61", "fuloong2e", "boston", "loongson3"),
        "has a MIPS CPU, whose registers QEMU's gdbstub does not describe",
        "use a board with another CPU",
    ),
    # Registers or RAM differ right after the load; later "Missing character write event" (11.1), or
    # replay_checkpoint: replay_mutex_locked() (7.2). Of 200 jumps one was wrong and some aborted.
    (
        ("s390-ccw",),
        "is in another state once a snapshot was loaded, or aborts QEMU as it replays",
        "use a board with another CPU",
    ),
    (("raspi2", "raspi3", "raspi4"), "has 4 CPUs, and QEMU records one", "use raspi0 or raspi1ap, which have one"),
)
"""Beginnings of the names of boards, why they cannot be recorded, and what to do."""


def check_machine(kind: str, vga: str, *, usb: bool) -> None:
    """Look at the board ``kind`` with the graphics card ``vga``, as ``-vga`` names it, and with ``usb`` or without.

    :raises UsageError: no recording of it can be replayed.
    """
    for boards, why, instead in _BOARDS:
        if kind.startswith(boards):
            raise UsageError(f"This cannot be recorded: the board {kind} {why}; {instead}.")
    if kind == "isapc" and vga == "cirrus":
        raise UsageError(
            "This cannot be recorded: isapc's -vga cirrus aborts QEMU when a snapshot is loaded; use -vga std."
        )
    if usb and kind.startswith(("q35", "pc-q35")):
        raise UsageError(
            f"This cannot be recorded: the USB controllers of {kind} set a timer that no snapshot holds, so replays "
            "stand still; leave -usb out, or use -device piix3-usb-uhci."
        )
