"""The devices that a described machine may have, each with its known properties.

They are all QEMU's own, in QEMU's own process: nothing of the host's, no files, no other programs.
"""

from __future__ import annotations

from collections.abc import Mapping

from rrdbg.model.machine.description.values import (
    CHARDEV,
    DRIVE,
    FILE,
    LINE,
    MAC,
    NAME,
    NETDEV,
    NUMBER,
    OBJECT,
    SIZE,
    SWITCH,
    WORD,
    Kind,
    choice,
)

Known = Mapping[str, Kind]
"""The properties that something may have, and the kind of each."""

_PLACE: Known = {"driver": NAME, "id": NAME, "bus": WORD, "addr": WORD, "bootindex": NUMBER}
_PCI: Known = {
    **_PLACE, "multifunction": SWITCH, "hotplug": SWITCH, "x-pcie-lnksta-dllla": SWITCH, "x-pcie-extcap-init": SWITCH,
}  # fmt: skip
_VIRTIO: Known = {
    **_PCI, "disable-legacy": SWITCH, "disable-modern": SWITCH, "ioeventfd": SWITCH, "event_idx": SWITCH,
    "packed": SWITCH, "indirect_desc": SWITCH, "vectors": NUMBER, "iommu_platform": SWITCH, "ats": SWITCH,
    "page-per-vq": SWITCH, "modern-pio-notify": SWITCH, "any_layout": SWITCH, "notify_on_empty": SWITCH,
}  # fmt: skip
_SIZES: Known = {
    "physical_block_size": SIZE, "logical_block_size": SIZE, "min_io_size": SIZE, "opt_io_size": SIZE,
    "discard_granularity": SIZE,
}  # fmt: skip
_DISK: Known = {
    **_SIZES, "drive": DRIVE, "serial": LINE, "write-cache": SWITCH, "rotation_rate": NUMBER, "removable": SWITCH,
    "ver": LINE, "wwn": NUMBER, "unit": NUMBER, "lun": NUMBER, "scsi-id": NUMBER, "channel": NUMBER, "model": LINE,
    "vendor": LINE, "product": LINE, "share-rw": SWITCH, "werror": choice("ignore", "report", "stop", "enospc"),
    "rerror": choice("ignore", "report", "stop"), "cyls": NUMBER, "heads": NUMBER, "secs": NUMBER,
}  # fmt: skip
_QUEUES: Known = {"num-queues": NUMBER, "queue-size": NUMBER, "seg-max-adjust": SWITCH, "request-merging": SWITCH,
    "discard": SWITCH, "write-zeroes": SWITCH, "config-wce": SWITCH, "scsi": SWITCH}  # fmt: skip
_CARD: Known = {"netdev": NETDEV, "mac": MAC}
_VIRTIO_CARD: Known = {
    **_CARD, "mrg_rxbuf": SWITCH, "csum": SWITCH, "gso": SWITCH, "guest_csum": SWITCH, "guest_announce": SWITCH,
    "guest_tso4": SWITCH, "guest_tso6": SWITCH, "host_tso4": SWITCH, "host_tso6": SWITCH, "mq": SWITCH,
    "ctrl_vq": SWITCH, "ctrl_rx": SWITCH, "status": SWITCH, "speed": NUMBER, "tx": choice("timer", "bh"),
    "x-txtimer": NUMBER, "x-txburst": NUMBER, "host_mtu": NUMBER, "rx_queue_size": NUMBER, "tx_queue_size": NUMBER,
}  # fmt: skip
_SERIAL: Known = {
    "chardev": CHARDEV, "index": NUMBER, "iobase": NUMBER, "irq": NUMBER, "wakeup": NUMBER, "readback": NUMBER,
}  # fmt: skip
_PORTS: Known = {"max_ports": NUMBER, "ports": NUMBER, "p2": NUMBER, "p3": NUMBER, "intrs": NUMBER, "slots": NUMBER,
    "streams": SWITCH, "msi": SWITCH, "msix": SWITCH, "masterbus": WORD, "firstport": NUMBER}  # fmt: skip
_SCREEN: Known = {
    "xres": NUMBER, "yres": NUMBER, "edid": SWITCH, "vgamem_mb": NUMBER, "vgamem": SIZE, "max_outputs": NUMBER,
    "xmax": NUMBER, "ymax": NUMBER, "mmio": SWITCH, "qemu-extended-regs": SWITCH, "global-vmstate": SWITCH,
    "max_hostmem": SIZE,
}  # fmt: skip
_USB: Known = {"port": WORD, "usb_version": NUMBER, "msos-desc": SWITCH, "serial": LINE}
_BRIDGE: Known = {
    "chassis": NUMBER, "slot": NUMBER, "port": NUMBER, "chassis_nr": NUMBER, "bus_nr": NUMBER, "numa_node": NUMBER,
    "shpc": SWITCH, "msi": SWITCH, "io-reserve": SIZE, "mem-reserve": SIZE, "pref64-reserve": SIZE,
    "bus-reserve": NUMBER, "x-speed": WORD, "x-width": WORD,
}  # fmt: skip


def _each(names: str, *groups: Known) -> dict[str, Known]:
    known = {key: kind for group in groups for key, kind in group.items()}
    return dict.fromkeys(names.split(), known)


DEVICES: Mapping[str, Known] = {
    **_each("virtio-blk-pci virtio-blk-device", _VIRTIO, _DISK, _QUEUES),
    **_each("virtio-scsi-pci virtio-scsi-device", _VIRTIO, _QUEUES),
    **_each("ide-hd ide-cd scsi-hd scsi-cd", _PLACE, _DISK),
    **_each("nvme", _PCI, _DISK, {"max_ioqpairs": NUMBER, "msix_qsize": NUMBER, "mdts": NUMBER}),
    **_each("ahci ich9-ahci lsi53c895a megasas sdhci-pci", _PCI),
    **_each("virtio-net-pci virtio-net-device", _VIRTIO, _VIRTIO_CARD),
    **_each("rtl8139 ne2k_pci pcnet i82551 i82557b i82559er tulip vmxnet3", _PCI, _CARD),
    **_each("ne2k_isa", _PLACE, _CARD, {"iobase": NUMBER, "irq": NUMBER}),
    **_each("usb-net", _PLACE, _CARD, _USB),
    **_each("virtio-rng-pci virtio-rng-device", _VIRTIO, {"rng": OBJECT, "max-bytes": NUMBER, "period": NUMBER}),
    **_each("virtio-balloon-pci", _VIRTIO),
    **_each("virtio-serial-pci virtio-serial-device", _VIRTIO, {"max_ports": NUMBER}),
    **_each("virtserialport virtconsole", _PLACE, _SERIAL, {"name": LINE, "nr": NUMBER}),
    **_each("virtio-gpu-pci virtio-gpu-device virtio-vga", _VIRTIO, _SCREEN),
    **_each("virtio-keyboard-pci virtio-keyboard-device virtio-mouse-pci virtio-tablet-pci", _VIRTIO),
    **_each("VGA cirrus-vga bochs-display ramfb secondary-vga isa-vga", _PCI, _SCREEN),
    **_each("usb-ehci ich9-usb-ehci1 qemu-xhci nec-usb-xhci piix3-usb-uhci piix4-usb-uhci", _PCI, _PORTS),
    **_each("usb-hub usb-kbd usb-mouse usb-tablet", _PLACE, _USB),
    **_each("usb-storage", _PLACE, _DISK, _USB),
    **_each("isa-serial isa-debugcon", _PLACE, _SERIAL),
    **_each("pci-serial", _PCI, _SERIAL),
    **_each("isa-debug-exit", _PLACE, {"iobase": NUMBER, "iosize": NUMBER}),
    **_each("pvpanic", _PLACE, {"ioport": NUMBER, "events": NUMBER}),
    **_each("pvpanic-pci edu pci-testdev i6300esb", _PCI),
    **_each("vmcoreinfo", _PLACE),
    **_each("pcie-root-port pci-bridge pcie-pci-bridge pxb pxb-pcie", _PCI, _BRIDGE),
    **_each(
        "loader",
        _PLACE,
        {"file": FILE, "cpu-num": NUMBER, "force-raw": SWITCH, "data": NUMBER, "data-len": NUMBER, "data-be": SWITCH},
    ),
}

CARDS = choice(
    *("virtio", "virtio-net-pci", "rtl8139", "ne2k_pci", "ne2k_isa", "pcnet", "i82551", "i82557b", "i82559er", "tulip"),
    *("vmxnet3", "virtio-net-device", "lance", "smc91c111", "lan9118", "cadence_gem", "xgmac", "imx.enet", "imx.fec"),
    *("allwinner-sun8i-emac", "allwinner-emac", "ftgmac100", "npcm7xx-emc", "mv88w8618", "stellaris", "stellaris_enet"),
    *("sungem", "etsec", "sun8i-emac", "spapr-vlan", "cadence-gem", "usb-net"),
)
"""What ``-nic model=`` may be: the boards' own cards, too."""

BOARD_PROPERTIES: Mapping[str, Known] = {
    "apic-common": {"vapic": SWITCH},
    "apic": {"vapic": SWITCH},
    "PIIX4_PM": {"disable_s3": NUMBER, "disable_s4": NUMBER, "acpi-pci-hotplug-with-bridge-support": SWITCH},
    "ICH9-LPC": {"disable_s3": NUMBER, "disable_s4": NUMBER, "noreboot": SWITCH},
    "mc146818rtc": {"lost_tick_policy": choice("discard", "slew"), "base_year": NUMBER},
    "cfi.pflash01": {"secure": SWITCH},
    "mch": {"extended-tseg-mbytes": NUMBER},
    "q35-pcihost": {"pci-hole64-size": SIZE},
    "i440FX-pcihost": {"pci-hole64-size": SIZE},
    "hpet": {"msi": SWITCH, "timers": NUMBER},
    "virtio-pci": {"disable-legacy": SWITCH, "disable-modern": SWITCH},
    "virtio-mmio": {"force-legacy": SWITCH},
    "migration": {"announce-rounds": NUMBER},
    "fw_cfg": {"dma_enabled": SWITCH},
}
"""What ``-global`` may set of the parts of a board, beside the properties of :data:`DEVICES`."""
