"""The options that a described machine may have, and how QEMU reads the value of each.

What is not listed cannot be described. They differ: ``-device``, ``-object`` and ``-netdev`` take JSON, ``-machine``,
``-drive`` and all others do not; ``-global`` takes the rest of its value without any escape, unless it is written as a
list (system/vl.c and what it calls).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rrdbg.model.machine.description.devices import BOARD_PROPERTIES, CARDS, DEVICES, Known
from rrdbg.model.machine.description.listing import Unreadable, read_list, write_list
from rrdbg.model.machine.description.values import (
    CPU,
    DATE,
    FILE,
    GUEST_FILE,
    LINE,
    MAC,
    NAME,
    NETDEV,
    NETWORK,
    NUMBER,
    OBJECT,
    SERIAL_PORT,
    SIZE,
    SWITCH,
    TEXT,
    UUID,
    WORD,
    Kind,
    choice,
)

_MACHINES = re.compile(
    r"pc|q35|isapc|microvm|pc-(i440fx|q35)-[\d.]+|virt(-[\d.]+)?|spike|sifive_[eu]|shakti_c|microchip-icicle-kit"
    r"|raspi\d\w*|mps[23]-an\d{3}|musca-[ab]1?|netduino(2|plus2)|stm32vldiscovery|olimex-stm32-h405|b-l475e-iot01a"
    r"|microbit|lm3s(811|6965)evb|emcraft-sf2|max78000fthr|sbsa-ref|vexpress-a(9|15)|versatile[ap]b|integratorcp"
    r"|realview-(eb|eb-mpcore|pb-a8|pbx-a9)|xilinx-zynq-a9|xlnx-(zcu102|versal-virt)|amd-versal2?-virt"
    r"|sabrelite|imx(25-pdk|8m[mp]-evk)|mcimx(6ul-evk|7d-sabre)|kzm|cubieboard|orangepi-pc|bpim2u|canon-a1100|collie"
    r"|highbank|midway|nuri|smdkc210|musicpal|sx1(-v1)?|n8[01]0|akita|borzoi|spitz|terrier|tosa|cheetah|connex|verdex"
    r"|mainstone|z2|ast\d{4}\w*(-evb)?|npcm\d{3}-evb|quanta-\w+(-bmc)?|fby35|[\w-]+-bmc"
    r"|mac99|g3beige|pseries(-[\d.]+)?|powernv\d*|ppce500|bamboo|sam460ex|40p|malta|mipssim|s390-ccw-virtio(-[\d.]+)?",
    re.ASCII,
)
"""Boards that QEMU emulates whole. Not ``x-remote`` and those of Xen, which other processes are part of."""

_MACHINE: Known = {
    "type": Kind(_MACHINES),
    "accel": choice("tcg"),
    "gic-version": choice("2", "3", "4", "max"),
    "iommu": choice("none", "smmuv3"),
    "aia": choice("none", "aplic", "aplic-imsic"),
    "max-ram-below-4g": SIZE, "max-fw-size": SIZE, "highmem-mmio-size": SIZE,
    "kernel-irqchip": choice("on", "off", "split"),
    "smbios-entry-point-type": choice("32", "64", "auto"),
    "x-oem-id": WORD, "x-oem-table-id": WORD, "via": choice("cuda", "pmu", "pmu-adb"),
    "aia-guests": NUMBER, "phandle-start": NUMBER, "msel": NUMBER, "virtio-mmio-transports": NUMBER,
    "board-rev": NUMBER, "revision": NUMBER,
    "memory-backend": OBJECT,
    "pflash0": Kind(NAME.pattern, "drive"), "pflash1": Kind(NAME.pattern, "drive"),
    **dict.fromkeys(
        (
            *("hpet", "usb", "acpi", "smm", "vmport", "graphics", "mem-merge", "dump-guest-core", "pit", "pic"),
            *("i8042", "sata", "smbus", "fd-bootchk", "nvdimm", "suppress-vmdesc", "default-bus-bypass-iommu"),
            *("virtualization", "secure", "highmem", "highmem-ecam", "highmem-mmio", "highmem-redists", "its", "ras"),
            *("compact-highmem", "mte", "dtb-randomness", "dtb-kaslr-seed", "aclint", "iommu-sys", "pcie", "rtc"),
            *("isa-serial", "x-option-roms", "auto-kernel-cmdline", "ioapic2", "start-in-flash", "wdat"),
        ),
        SWITCH,
    ),
}  # fmt: skip

_CARD_OF_NIC: Known = {"model": CARDS, "mac": MAC, "macaddr": MAC, "addr": WORD, "vectors": NUMBER, "name": NAME}
_USER_NETWORK: Known = {
    "type": NAME, "id": NAME, "net": NETWORK, "host": NETWORK, "hostname": WORD, "restrict": SWITCH, "ipv4": SWITCH,
    "ipv6": SWITCH, "dns": NETWORK, "dhcpstart": NETWORK, "domainname": WORD,
    "ipv6-net": NETWORK, "ipv6-host": NETWORK, "ipv6-dns": NETWORK,
}  # fmt: skip
_SMBIOS: Known = {
    "type": choice("0", "1", "2", "3", "4", "8", "11", "17"), "file": FILE,
    **dict.fromkeys(
        (
            *("vendor", "version", "date", "release", "manufacturer", "product", "serial", "sku", "family", "asset"),
            *("location", "sock_pfx", "part", "loc_pfx", "bank", "value", "internal_reference", "external_reference"),
        ),
        LINE,
    ),
    "uefi": SWITCH, "uuid": UUID, "max-speed": NUMBER, "current-speed": NUMBER, "speed": NUMBER, "processor-id": NUMBER,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """How the value of an option is read: a list of properties, or one ``kind`` (``known`` is then empty), or none.

    ``implied`` is the first property of a list if that is not named. Where ``choices`` are given, its value says which
    properties there may be; ``always`` are added to those of a choice by us.
    """

    kind: Kind | None = None
    implied: str = ""
    known: Known = field(default_factory=dict)
    choices: Mapping[str, Known] | None = None
    json: bool = False
    always: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def read(self, value: str | None) -> tuple[tuple[str, str, Kind], ...]:
        """The properties in ``value``, each with its kind; that of a single value has no name.

        :raises Unreadable: it is something else, or could be read in two ways.
        """
        takes_one = self.kind is not None or bool(self.known) or self.choices is not None
        if takes_one is (value is None):
            raise Unreadable("it has a value, or lacks one")
        if value is None:
            return ()
        if self.kind is not None:
            return (("", _checked("it", value, self.kind), self.kind),)
        properties = read_list(value, self.implied, json=self.json)
        known = self.known
        chosen = properties.get(self.implied, "")
        if self.choices is not None:
            if chosen not in self.choices:
                raise Unreadable(f"{self.implied} is {chosen[:60]!r}")
            known = self.choices[chosen]
        properties |= self.always.get(chosen, {})
        kinds = {key: _known(known, key) for key in properties}
        # The one that says what it is comes first, as QEMU wants it for -nic.
        ordered = sorted(properties.items(), key=lambda item: item[0] != self.implied)
        return tuple((key, _checked(key, text, kinds[key]), kinds[key]) for key, text in ordered)

    def write(self, properties: Sequence[tuple[str, str, Kind]]) -> str | None:
        """The value that QEMU reads as ``properties``, in one way only."""
        if self.kind is not None:
            return properties[0][1]
        return write_list((key, text) for key, text, _ in properties) if properties else None


def _known(known: Known, key: str) -> Kind:
    # QEMU takes an underscore for a dash in the machine's properties, and knows some others by either.
    kind = known.get(key) or known.get(key.replace("_", "-"))
    if kind is None:
        raise Unreadable(f"{key} is no property that can be described")
    return kind


def _checked(key: str, text: str, kind: Kind) -> str:
    if not kind.takes(text):
        raise Unreadable(f"{key} is {text[:80]!r}")
    return text


_FLAG = Form()
_RESET = choice("reset", "shutdown")

OPTIONS: Mapping[str, Form] = {
    **dict.fromkeys(
        (
            *("no-reboot", "no-shutdown", "nodefaults", "no-user-config", "no-acpi", "no-hpet", "no-fd-bootchk", "usb"),
            *("singlestep", "only-migratable"),
        ),
        _FLAG,
    ),
    **dict.fromkeys(("machine", "M"), Form(implied="type", known=_MACHINE)),
    "cpu": Form(CPU),
    "m": Form(implied="size", known={"size": SIZE, "slots": NUMBER, "maxmem": SIZE}),
    "smp": Form(
        implied="cpus",
        known=dict.fromkeys(("cpus", "maxcpus", "sockets", "dies", "clusters", "cores", "threads"), NUMBER),
    ),
    "accel": Form(
        implied="accel",
        choices={
            "tcg": {
                "accel": NAME, "thread": choice("single"), "tb-size": NUMBER, "one-insn-per-tb": SWITCH,
                "split-wx": SWITCH,
            }
        },
    ),
    "append": Form(TEXT),
    "bios": Form(choice("none", "default")),
    "serial": Form(SERIAL_PORT), "parallel": Form(SERIAL_PORT), "monitor": Form(choice("none")),
    "vga": Form(choice("none", "std", "cirrus", "vmware", "virtio", "tcx", "cg3")),
    "k": Form(Kind(re.compile(r"[a-z]{2}(-[a-z]{2})?"))),
    "uuid": Form(UUID), "seed": Form(NUMBER),
    "action": Form(known={
        "reboot": _RESET, "shutdown": choice("poweroff", "pause"),
        "panic": choice("pause", "shutdown", "exit-failure", "none"),
        "watchdog": choice("reset", "shutdown", "poweroff", "inject-nmi", "pause", "debug", "none"),
    }),
    "watchdog": Form(choice("i6300esb", "ib700")),
    "watchdog-action": Form(choice("reset", "shutdown", "poweroff", "inject-nmi", "pause", "debug", "none")),
    "boot": Form(implied="order", known={
        "order": Kind(re.compile("[a-p]{0,16}")), "once": Kind(re.compile("[a-p]{0,16}")), "menu": SWITCH,
        "strict": SWITCH, "reboot-timeout": NUMBER, "splash-time": NUMBER,
    }),
    "rtc": Form(implied="base", known={"base": DATE, "clock": choice("vm"), "driftfix": choice("none", "slew")}),
    "drive": Form(known={
        "if": choice("ide", "floppy", "none"), "index": NUMBER, "media": choice("cdrom", "disk"), "id": NAME,
        "bus": NUMBER, "unit": NUMBER,
    }),
    "fw_cfg": Form(implied="name", known={"name": GUEST_FILE, "string": TEXT, "file": FILE}),
    "acpitable": Form(known={
        "sig": LINE, "rev": NUMBER, "oem_id": LINE, "oem_table_id": LINE, "oem_rev": NUMBER, "asl_compiler_id": LINE,
        "asl_compiler_rev": NUMBER, "file": FILE,
    }),
    "smbios": Form(known=_SMBIOS),
    # A guest that goes on by itself in a what-if reaches nothing; a replay's packets come from the log.
    "netdev": Form(implied="type", choices={"user": _USER_NETWORK}, json=True, always={"user": {"restrict": "on"}}),
    "nic": Form(
        implied="type", choices={"none": {"type": NAME}, "user": {**_USER_NETWORK, **_CARD_OF_NIC}},
        always={"user": {"restrict": "on"}},
    ),
    "device": Form(implied="driver", choices=DEVICES, json=True),
    "object": Form(implied="qom-type", json=True, choices={
        "filter-replay": {"qom-type": NAME, "id": NAME, "netdev": NETDEV},
        "memory-backend-ram": {
            "qom-type": NAME, "id": NAME, "size": SIZE, "share": SWITCH, "merge": SWITCH, "dump": SWITCH,
            "prealloc": choice("off", "no", "false"),
        },
        "rng-builtin": {"qom-type": NAME, "id": NAME},
    }),
}  # fmt: skip
"""All options but ``-global``, by name."""

_GLOBAL = re.compile(r"([^.=,]{1,63})\.([^=,]{1,63})=(.*)", re.DOTALL)


def read_global(value: str) -> tuple[str, str, str]:
    """Driver, property and value of a ``-global``.

    :raises Unreadable: it sets what no ``-global`` of a described machine may set.
    """
    if found := _GLOBAL.fullmatch(value):
        driver, name, text = found.groups()
    else:
        properties = read_list(value, "", json=False)
        if properties.keys() != {"driver", "property", "value"}:
            raise Unreadable("it is neither DRIVER.PROPERTY=VALUE nor driver=,property=,value=")
        driver, name, text = properties["driver"], properties["property"], properties["value"]
    known = {**DEVICES.get(driver, {}), **BOARD_PROPERTIES.get(driver, {})}
    kind = known.get(name)
    # A name of something else, such as a drive, is a device's own.
    if kind is None or kind.refers or name in ("driver", "id"):
        raise Unreadable(f"{driver}.{name} is no property that can be described")
    return driver, name, _checked(name, text, kind)
