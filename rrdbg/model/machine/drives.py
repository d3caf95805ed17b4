"""The guest's disks, whichever way they were given: each an image that is only read, and what QEMU puts above it.

What a disk answers comes when the host's disk is ready, which is input as keys are: ``blkreplay`` above the image
records the moment. Some devices let the CPU wait for the answer instead; with ``blkreplay`` that wait would never end,
as the main loop, which reads the log, waits too. They need none: no instruction is executed meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rrdbg.errors import UsageError
from rrdbg.model.machine.blockdev import BlockGraph
from rrdbg.model.machine.image_name import read_image_name
from rrdbg.model.machine.options import parse_properties

_WAITING = ("pflash", "floppy")
_REFUSED_DEVICES = {
    **dict.fromkeys(("sd-card", "sd-card-spi", "emmc"), "an SD card"),
    **dict.fromkeys(("usb-storage", "usb-bot", "usb-uas"), "a USB disk"),
}
"""Tried with QEMU 7.2 and SeaBIOS: their replays stand still, with blkreplay above the image and without."""

_SHORT = {
    **{f"hd{letter}": {"if": "ide", "index": str(index)} for index, letter in enumerate("abcd")},
    "cdrom": {"if": "ide", "index": "2", "media": "cdrom"},
    "fda": {"if": "floppy", "index": "0"},
    "fdb": {"if": "floppy", "index": "1"},
    "pflash": {"if": "pflash"},
}
"""Options that take an image's name alone, and the ``-drive`` that each stands for."""

DRIVE_OPTIONS = frozenset({*_SHORT, "drive", "blockdev"})
"""The options that :class:`Drives` takes."""

_BACKEND_PROPERTIES = frozenset(
    {
        "file",
        "format",
        "cache",
        "aio",
        "discard",
        "detect-zeroes",
        "readonly",
        "read-only",
        "auto-read-only",
        "driver",
        "image",
        "l2-cache-size",
    }
)
_BACKEND_PREFIXES = ("file.", "cache.", "backing.")


@dataclass(frozen=True, slots=True)
class Disk:
    """A drive of the guest's: the user's image, and the ``-drive`` properties of the device side.

    ``node`` is the name by which the guest's device knows it, if it was given with ``-blockdev``; ``waits`` tells that
    the CPU waits for it; ``in_place`` that the guest wrote to the user's image itself. ``backing`` is the image below
    the user's, if the command line named it (or if the guest wrote to the user's).
    """

    source: str
    format: str | None
    read_only: bool
    frontend: dict[str, str]
    node: str | None = None
    waits: bool = False
    in_place: bool = False
    backing: str | None = None
    backing_format: str | None = None


class Drives:
    """The disks of one command line, as they are met."""

    def __init__(self) -> None:
        self._disks: list[Disk] = []
        self._filters: list[dict[str, str]] = []
        self._graph = BlockGraph()
        self._users: dict[str, str] = {}

    def take(self, name: str, value: str) -> bool:
        """Take one of :data:`DRIVE_OPTIONS`; False for a drive without a medium, which QEMU can be given as it is.

        :raises UsageError: it cannot be recorded.
        """
        if name == "blockdev":
            self._graph.add(value)
        elif name in _SHORT:
            read_only = name == "cdrom"
            path, kind = read_image_name(value)
            self._disks.append(Disk(path, kind or ("raw" if read_only else None), read_only, dict(_SHORT[name])))
        else:
            return self._take_drive(value)
        return True

    def take_device(self, value: str) -> None:
        """Remember which device uses which drive: ``value`` is that of ``-device``.

        :raises UsageError: no replay gets past such a device.
        """
        properties = parse_properties(value, "driver")
        if properties.get("driver") in _REFUSED_DEVICES:
            raise UsageError(
                f"This cannot be recorded: {_REFUSED_DEVICES[properties['driver']]} ({properties['driver']}), whose "
                "replay stands still; give the image to virtio-blk-pci, ide-hd or scsi-hd."
            )
        if "drive" in properties:
            self._users[properties["drive"]] = properties.get("driver", "")

    def take_machine(self, properties: dict[str, str]) -> None:
        """Remember the flash memories that ``-machine`` names."""
        self._users |= {text: "pflash" for key, text in properties.items() if key in ("pflash0", "pflash1")}

    def finish(self) -> tuple[Disk, ...]:
        """All disks, once the whole command line is known.

        :raises UsageError: a node that ``-blockdev`` describes cannot be recorded.
        """
        for outer in self._filters:
            self._unwrap(outer)
        for name, image in self._graph.roots().items():
            below = image.backing
            disk = Disk(image.path, image.format, image.read_only, {}, node=name)
            self._disks.append(replace(disk, backing=below.path, backing_format=below.format) if below else disk)
        return tuple(replace(disk, waits=self._waits(disk)) for disk in self._disks)

    def _take_drive(self, value: str) -> bool:
        properties = parse_properties(value, "file")
        if properties.get("snapshot") == "on":
            raise UsageError(
                "This cannot be recorded: a drive with snapshot=on loses its snapshots; rrdbg writes to an overlay "
                "anyway, so leave it out."
            )
        if properties.get("if") in ("sd", "mtd"):
            raise UsageError(f"This cannot be recorded: a drive with if={properties['if']} is not supported.")
        if properties.get("driver") == "blkreplay":
            self._filters.append(properties)
            return True
        file = properties.get("file", properties.get("file.filename"))
        if file is None:
            if properties.get("media") == "cdrom" or properties.get("if") == "floppy":
                return False
            raise UsageError(f"This cannot be recorded: -drive {value} has no file=.")
        read_only = "on" in (properties.get("readonly"), properties.get("read-only"))
        read_only = read_only or properties.get("media") == "cdrom"
        path, kind = read_image_name(file)
        image_format = properties.get("format", properties.get("driver", kind))
        self._disks.append(Disk(path, image_format, read_only, _frontend(properties)))
        return True

    def _unwrap(self, outer: dict[str, str]) -> None:
        """Take the user's own ``blkreplay`` away: its image gets what it told of the device."""
        name = outer.get("image", "")
        for index, disk in enumerate(self._disks):
            if disk.frontend.get("id") == name:
                self._disks[index] = replace(disk, frontend=_frontend(outer))
                return
        raise UsageError(f"This cannot be recorded: -drive driver=blkreplay,image={name} names no other -drive's id=.")

    def _waits(self, disk: Disk) -> bool:
        user = self._users.get(disk.node or disk.frontend.get("id", ""))
        return disk.frontend.get("if") in _WAITING or user in _WAITING


def _frontend(properties: dict[str, str]) -> dict[str, str]:
    return {
        key: text
        for key, text in properties.items()
        if key not in _BACKEND_PROPERTIES and not key.startswith(_BACKEND_PREFIXES)
    }
