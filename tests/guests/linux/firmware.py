"""A planted bug in the Linux guest's firmware: an ACPI method that writes into an object of the kernel.

The kernel takes ACPI tables from its initrd (Documentation/admin-guide/acpi/initrd_table_override.rst). Ours has one
device, `DEVICE`. Whoever reads its slot number sets off the method _SUN, in which the firmware means to write into
memory of its own, and hits a slab object: the `kmem_cache` of mounts, whose first word leads to the free objects. The
kernel itself makes the write, in its interpreter of ACPI's byte code, and stumbles over it at the next mount.

The byte code is put together here (ACPI specification 6.4, chapter 20), as no compiler for it need be installed.
"""

from __future__ import annotations

DEVICE = "RRDB0001"
TABLE = "kernel/firmware/acpi/rrdbg.aml"
"""Where the kernel looks for tables in an initrd."""

VICTIM = "mnt_cache"
"""The kernel's variable with the address of the slab object."""

WRITTEN = 0x5AA5_5AA5
"""What is written: 32 bits, as numbers are in QEMU's firmware."""

_KERNEL_MAPPING = 0xFFFF_FFFF_8000_0000
"""Where the kernel's image is mapped without address randomisation; its data lies in RAM by the rest of the address."""

_FIELD_FLAGS = b"\x03"  # accessed as 32-bit words, no lock


def table(victim: int) -> bytes:
    """A secondary description table (SSDT); ``victim`` is the address of the kernel's variable `VICTIM`."""
    method = (
        # The address of the object, in the kernel's mapping of all RAM: its lower half is the physical address.
        _region(b"PTRR", _word(victim - _KERNEL_MAPPING)) + _field(b"PTRR", b"PTR0")
        + _region(b"OBJR", b"PTR0") + _field(b"OBJR", b"OBJ0")
        + b"\x70" + _word(WRITTEN) + b"OBJ0"  # store
        + b"\xa4\0"  # return 0
    )  # fmt: skip
    name = b"\x08_HID\x0d" + DEVICE.encode() + b"\0"
    device = b"\x5b\x82" + _package(b"\\\x2e_SB_RBUG" + name + b"\x14" + _package(b"_SUN\0" + method))
    length = (36 + len(device)).to_bytes(4, "little")
    content = bytearray(b"SSDT" + length + b"\x01\0RRDBG WILDAML \x01\0\0\0RRDB\x01\0\0\0" + device)
    content[9] = -sum(content) & 0xFF  # the sum of all bytes is 0
    return bytes(content)


def _word(value: int) -> bytes:
    return b"\x0c" + value.to_bytes(4, "little")


def _region(name: bytes, address: bytes) -> bytes:
    return b"\x5b\x80" + name + b"\0" + address + b"\x0a\x04"  # system memory, 4 bytes


def _field(region: bytes, name: bytes) -> bytes:
    return b"\x5b\x81" + _package(region + _FIELD_FLAGS + name + b"\x20")  # 32 bits


def _package(content: bytes) -> bytes:
    """With its length in front, which counts itself; below 64 in one byte, else in two."""
    if len(content) < 63:
        return bytes([len(content) + 1]) + content
    length = len(content) + 2
    return bytes([0x40 | length & 0xF, length >> 4]) + content
