"""What a recording that comes from elsewhere may make QEMU do: the machine, and nothing of the host's.

A manifest holds a command line, and QEMU's options can read, write and run anything: ``-chardev file``, ``-fw_cfg
file=``, ``-netdev tap,script=``, ``-device vfio-pci``, ``-plugin``. So what is listed here is allowed, and all else is
not. Lists of what is forbidden would have to know each option of each version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set

from rrdbg.errors import RecordingError, UsageError
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import FIRST_FD, LAST_FD, READERS, Invocation
from rrdbg.model.machine.options import Option, count_items, format_properties, parse_options, parse_properties

_PROGRAM = re.compile(r"qemu-system-[a-z0-9_]+", re.ASCII)
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_SHIFT = re.compile(r"\d\d?|auto", re.ASCII)
_INSIDE = re.compile(r"files/[\w-]+", re.ASCII)
_BUNDLED = frozenset({"kernel", "initrd", "dtb", "bios"})
_MOST_SLASHES = 4096
_FORMATS = frozenset({"raw", "qcow2"})
"""Image formats whose headers :mod:`rrdbg.store.trust` can look into for names of other files."""

_ANY = re.compile(r".*", re.DOTALL)
_WORDS = re.compile(r"[\w.,=+-]*", re.ASCII)
_SERIAL = re.compile(r"none|null|vc|chardev:[\w.-]+", re.ASCII)
_NONE = re.compile(r"none")
_FLAGS = frozenset(
    {
        *("no-reboot", "no-shutdown", "nodefaults", "no-user-config", "no-acpi", "no-hpet", "no-fd-bootchk", "usb"),
        *("singlestep", "only-migratable"),
    }
)
_VALUES: Mapping[str, re.Pattern[str]] = {
    "append": _ANY,
    "serial": _SERIAL, "parallel": _SERIAL, "monitor": _NONE,
    "bios": re.compile(r"none|default"),
    "fw_cfg": re.compile(r"name=opt/[\w./-]+(,string=[^,]*)?", re.ASCII),
    **dict.fromkeys(("m", "smp", "cpu", "vga", "k", "uuid", "seed", "action", "watchdog", "watchdog-action"), _WORDS),
}  # fmt: skip
"""Options whose value is no list of properties, or one that names nothing of the host's; what it must look like."""

_DEVICES = frozenset(
    {
        *("virtio-blk-pci", "virtio-net-pci", "virtio-rng-pci", "virtio-scsi-pci", "virtio-serial-pci"),
        *("virtio-balloon-pci", "virtio-gpu-pci", "virtio-vga", "virtio-keyboard-pci", "virtio-mouse-pci"),
        *("virtio-tablet-pci", "virtio-blk-device", "virtio-net-device", "virtio-rng-device", "virtio-serial-device"),
        *("virtio-scsi-device", "virtio-gpu-device", "virtio-keyboard-device", "virtserialport", "virtconsole"),
        *("rtl8139", "ne2k_pci", "ne2k_isa", "pcnet", "i82551", "i82557b", "i82559er", "tulip", "vmxnet3", "usb-net"),
        *("ide-hd", "ide-cd", "scsi-hd", "scsi-cd", "nvme", "ahci", "ich9-ahci", "lsi53c895a", "megasas", "sdhci-pci"),
        *("usb-ehci", "ich9-usb-ehci1", "qemu-xhci", "nec-usb-xhci", "piix3-usb-uhci", "piix4-usb-uhci"),
        *("usb-hub", "usb-kbd", "usb-mouse", "usb-tablet", "usb-storage"),
        *("VGA", "cirrus-vga", "bochs-display", "ramfb", "secondary-vga", "isa-vga"),
        *("isa-serial", "pci-serial", "isa-debugcon", "isa-debug-exit", "pvpanic", "pvpanic-pci", "edu", "i6300esb"),
        *("loader", "pcie-root-port", "pci-bridge", "pcie-pci-bridge", "pxb", "pxb-pcie", "pci-testdev", "vmcoreinfo"),
    }
)
_DEVICE_PROPERTIES = frozenset(
    {
        *("driver", "id", "bus", "addr", "multifunction", "drive", "netdev", "chardev", "rng", "mac", "bootindex"),
        *("iobase", "iosize", "irq", "index", "unit", "lun", "channel", "scsi-id", "port", "ports", "chassis", "slot"),
        *("serial", "name", "nr", "num-queues", "queues", "vectors", "disable-legacy", "disable-modern"),
        *("max-bytes", "period", "physical_block_size", "logical_block_size", "write-cache", "rotation_rate"),
        *("removable", "ver", "wwn", "p2", "p3", "intrs", "slots", "xres", "yres", "edid", "vgamem_mb", "speed"),
        *("cpu-num", "force-raw", "data", "data-len", "data-be"),  # of the loader, without its file
        *("hotplug", "ioeventfd", "event_idx", "packed", "indirect_desc", "mrg_rxbuf", "csum", "gso", "bus_nr"),
    }
)
_LISTS: Mapping[str, tuple[str, frozenset[str]]] = {
    "machine": ("type", frozenset()), "M": ("type", frozenset()),
    "accel": ("accel", frozenset({"accel", "thread", "tb-size", "one-insn-per-tb"})),
    "drive": ("", frozenset({"if", "index", "media", "id", "bus", "unit"})),  # without a medium
    "boot": ("order", frozenset({"order", "once", "menu", "strict", "reboot-timeout"})),
    "rtc": ("base", frozenset({"base", "clock", "driftfix"})),
    "device": ("driver", _DEVICE_PROPERTIES),
    "acpitable": ("", frozenset({"sig", "rev", "oem_id", "oem_table_id", "oem_rev"})), "smbios": ("", frozenset()),
    "nic": ("type", frozenset()), "netdev": ("type", frozenset()),
    "object": ("qom-type", frozenset({"qom-type", "id", "netdev", "size", "prealloc", "share", "merge", "dump"})),
    "global": ("driver", frozenset()),
}  # fmt: skip
"""Options that are lists of properties: the implied first one, and those that may be in them, if not told below."""

_MACHINE = frozenset(
    {
        *("type", "accel", "hpet", "usb", "acpi", "smm", "vmport", "graphics", "mem-merge", "dump-guest-core", "pit"),
        *("i8042", "sata", "smbus", "fd-bootchk", "nvdimm", "suppress-vmdesc", "max-ram-below-4g", "kernel-irqchip"),
        *("gic-version", "virtualization", "secure", "highmem", "its", "iommu", "ras", "mte", "aclint", "aia"),
        *("aia-guests", "pcie", "isa-serial", "rtc", "pic", "x-option-roms", "default_bus_bypass_iommu"),
    }
)
_NETWORK = frozenset(
    {
        *("type", "id", "model", "mac", "macaddr", "net", "host", "hostname", "restrict", "ipv4", "ipv6", "dns"),
        *("dhcpstart", "domainname", "addr", "vectors", "name", "netdev"),
    }
)
_BACKENDS = frozenset({"none", "user"})
_OBJECTS = frozenset({"filter-replay", "memory-backend-ram", "rng-builtin"})
_FRONTEND = frozenset(
    {
        *("if", "index", "media", "id", "bus", "unit", "serial", "werror", "rerror", "cyls", "heads", "secs", "trans"),
        "addr",
    }
)
_UNSAFE_GLOBALS = re.compile(r"file|path|host|chardev|drive|dev|rng|script|helper|fd|log|dir|socket", re.ASCII)
"""Properties that no ``-global`` may set: parts of the names of those that lead out of the machine."""


def check_invocation(invocation: Invocation) -> None:
    """Look whether ``invocation``, which somebody else has written, describes a machine and nothing more.

    :raises RecordingError: it does not, or that cannot be told; the message says what it asks for.
    """
    if not _PROGRAM.fullmatch(invocation.binary):
        raise _refusal(f"it would run the program {invocation.binary!r}, which is no qemu-system-ARCHITECTURE")
    if not _SHIFT.fullmatch(invocation.shift):
        raise _refusal(f"its shift is {invocation.shift!r}")
    for name in invocation.chardevs:
        if not _NAME.fullmatch(name):
            raise _refusal(f"it has a chardev {name!r}")
    for file in invocation.bundled:
        known = READERS if file.inside else _BUNDLED
        if file.option not in known or not _is_number(file.fd) or not _is_number(file.slashes, 0, _MOST_SLASHES):
            raise _refusal(f"it would give QEMU a file as -{file.option} {file.opened_as}")
    for index, disk in enumerate(invocation.disks):
        _check_disk(index, disk)
    try:
        added = parse_options([word for addition in invocation.additions for word in addition.words])
    except UsageError as error:
        raise _refusal(str(error)) from None
    numbers = [file.fd for file in invocation.bundled if file.fd is not None]
    if len(set(numbers)) < len(numbers):
        raise _refusal("it would give QEMU two files by one number")
    opened = {str(file.opened_as) for file in invocation.bundled if file.inside and file.fd is not None}
    _check_options(_without_opened(option, opened) for option in (*invocation.options, *added))


def _is_number(value: object, low: int = FIRST_FD, high: int = LAST_FD) -> bool:
    """A number from ``low`` to ``high``; a truth value, which Python takes for one, is none. A file may have none."""
    return (value is None and low == FIRST_FD) or (type(value) is int and low <= value <= high)


def _without_opened(option: Option, opened: Set[str]) -> Option:
    """``option`` without the file that it names, if that is one of those that lie in the recording."""
    if option.name not in READERS or option.value is None:
        return option
    properties = parse_properties(option.value, READERS[option.name])
    # Of properties that are told twice QEMU may take the other one, so it must be written as we write it.
    if properties.get("file") not in opened or option.value != format_properties(properties):
        return option
    return Option(option.name, format_properties({key: text for key, text in properties.items() if key != "file"}))


def _check_disk(index: int, disk: Disk) -> None:
    if not _INSIDE.fullmatch(disk.source):
        raise _refusal(f"its disk {index} is {disk.source}, a file outside of the recording")
    if disk.backing is not None:
        raise _refusal(f"its disk {index} lies over {disk.backing}, a file outside of the recording")
    if disk.format not in _FORMATS:
        raise _refusal(f"its disk {index} has the format {disk.format}, which may name other files")
    if disk.in_place or disk.backing is not None or disk.backing_format is not None:
        raise _refusal(f"its disk {index} lies on {disk.backing or disk.source}, which may be outside of the recording")
    if disk.node is not None and not _NAME.fullmatch(disk.node):
        raise _refusal(f"its disk {index} has a node {disk.node!r}")
    for key, text in disk.frontend.items():
        if key not in _FRONTEND or not _NAME.fullmatch(text):
            raise _refusal(f"its disk {index} has {key}={text}")


def _check_options(options: Iterable[Option]) -> None:
    for option in options:
        if not _is_allowed(option.name, option.value):
            shown = f"-{option.name}" if option.value is None else f"-{option.name} {option.value[:80]}"
            raise _refusal(f"it would start QEMU with '{shown}'")


def _is_allowed(name: str, value: str | None) -> bool:
    if value is None:
        return name in _FLAGS
    if name in _VALUES:
        return _VALUES[name].fullmatch(value) is not None
    # What begins as JSON does is read so by some of QEMU's options and not by others.
    if name not in _LISTS or "/" in value or value.startswith("{"):
        return False
    implied, allowed = _LISTS[name]
    properties = parse_properties(value, implied)
    # Of properties that are told twice QEMU takes the one or the other; where only one can be meant is what we write.
    if len(properties) != count_items(value):
        return False
    first = properties.get(implied, "")
    match name:
        case "machine" | "M":
            return properties.keys() <= _MACHINE and properties.get("accel", "tcg") == "tcg"
        case "nic" | "netdev":
            return first in _BACKENDS and properties.keys() <= _NETWORK
        case "device":
            return first in _DEVICES and properties.keys() <= allowed
        case "object":
            return first in _OBJECTS and properties.keys() <= allowed
        case "global":
            keys = [key.rpartition(".")[2] for key in properties]
            return not any(_UNSAFE_GLOBALS.search(key) for key in keys) and "property" not in properties
        case _:
            return properties.keys() <= allowed


def _refusal(why: str) -> RecordingError:
    return RecordingError(f"This recording was not made here, and {why}.")
