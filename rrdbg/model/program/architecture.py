"""A guest's architecture by its several names: QEMU's, GDB's, and the number in an ELF file."""

from __future__ import annotations

from collections.abc import Mapping

GDB_NAMES: Mapping[str, str] = {
    "x86_64": "i386:x86-64",
    "i386": "i386",
    "aarch64": "aarch64",
    "arm": "arm",
    "riscv64": "riscv:rv64",
    "riscv32": "riscv:rv32",
    "ppc": "powerpc:common",
    "ppc64": "powerpc:common64",
    **dict.fromkeys(("mips", "mipsel"), "mips"),
    **dict.fromkeys(("mips64", "mips64el"), "mips:isa64"),
    "s390x": "s390:64-bit",
    "loongarch64": "Loongarch64",
    "m68k": "m68k",
    "sparc": "sparc",
    "sparc64": "sparc:v9",
    "xtensa": "xtensa",
    "avr": "avr",
    "or1k": "or1k",
    "sh4": "sh4",
    "hppa": "hppa1.0",
    "alpha": "alpha",
}
"""What GDB's ``set architecture`` calls the guests of ``qemu-system-NAME``."""

_ELF_HEADER = 20
_ELF_MACHINES: Mapping[int, tuple[str, frozenset[str]]] = {
    3: ("i386", frozenset({"i386", "x86_64"})),
    62: ("x86_64", frozenset({"x86_64"})),
    40: ("arm", frozenset({"arm", "aarch64"})),
    183: ("aarch64", frozenset({"aarch64"})),
    243: ("riscv", frozenset({"riscv32", "riscv64"})),
    20: ("ppc", frozenset({"ppc", "ppc64"})),
    21: ("ppc64", frozenset({"ppc64"})),
    8: ("mips", frozenset({"mips", "mipsel", "mips64", "mips64el"})),
    22: ("s390x", frozenset({"s390x"})),
}
"""By ``e_machine``: what the code in a file is for, and the guests that run it."""


def is_elf(header: bytes) -> bool:
    """Whether a file that begins with ``header`` is an ELF file."""
    return header[:4] == b"\x7fELF"


def other_architecture(header: bytes, guest: str) -> str | None:
    """What the ELF file that begins with ``header`` is for, if not for ``guest`` (QEMU's name); None if it fits.

    So it does where one cannot tell.
    """
    if len(header) < _ELF_HEADER:
        return None
    number = int.from_bytes(header[18:20], "big" if header[5] == 2 else "little")
    name, guests = _ELF_MACHINES.get(number, ("", frozenset({guest})))
    return None if guest in guests else name
