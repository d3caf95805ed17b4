"""The register file as the gdbstub describes it in its target description (``target.xml``).

The ``g`` packet is all registers in the order of their numbers, little- or big-endian as the target is;
which registers those are, and how wide, only the description tells.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rrdbg.errors import RspError
from rrdbg.links.rsp import RspClient

_SPECIAL_TYPES = ("i387_ext", "ieee_double", "ieee_single", "float", "v4f", "i386_mxcsr")
_EFER_LMA = 1 << 10
_PAUSES = {
    "i386": (b"\xf3\x90",),  # pause
    "aarch64": (b"\x3f\x20\x03\xd5", b"\x5f\x20\x03\xd5"),  # yield, wfe
    "arm": (b"\x01\xf0\x20\xe3", b"\x02\xf0\x20\xe3"),  # yield, wfe
    "riscv": (b"\x0f\x00\x00\x01",),  # pause
}
"""By architecture: instructions that leave QEMU's loop in their middle; a single step makes the next one, too."""

_THUMB_PAUSES = (b"\x10\xbf", b"\x20\xbf", b"\xaf\xf3\x01\x80", b"\xaf\xf3\x02\x80")
"""yield and wfe of Thumb code, and the same four bytes long."""

_CPSR_THUMB = 1 << 5

_UNSETTLED = frozenset(("eflags", "cpsr", "xpsr", "pswm", "sr", "psr", "ps", "ccr"))
"""Registers that QEMU works out where a block of code ends, as it does the pc; in its middle they hold an old value."""

_MOST_SETTLED = 8
_STOPS_BEFORE_ACCESS = ("aarch64", "arm", "mips", "riscv", "loongarch", "xtensa")
_BIG_ENDIAN = ("powerpc", "s390", "sparc", "m68k", "hppa", "or1k")


@dataclass(frozen=True, slots=True)
class Register:
    """One register: its place in the ``g`` packet in bytes, and its number, by which a ``p`` packet asks for it."""

    name: str
    offset: int
    size: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class RegisterFile:
    """How to read a ``g`` packet; ``pc`` is the name of the program counter.

    ``general`` are the registers that are neither floating point nor vectors. ``stops_before_access`` tells where
    QEMU's gdbstub reports a watchpoint: before the instruction that makes the access, again at each resume, or after it
    (QEMU's ``gdb_stop_before_watchpoint``; GDB knows the same of its architectures). ``pauses`` are the instructions
    that QEMU steps over together with the one behind.
    """

    registers: Mapping[str, Register]
    pc: str
    byte_order: Literal["little", "big"]
    general: frozenset[str]
    stops_before_access: bool = False
    pauses: tuple[bytes, ...] = ()

    def pauses_in(self, packet: bytes) -> tuple[bytes, ...]:
        """Those of the mode that the CPU is in: Arm's has two sets of instructions."""
        if "xpsr" in self.registers or self._value(packet, "cpsr") & _CPSR_THUMB:
            return _THUMB_PAUSES if self.pauses == _PAUSES["arm"] else self.pauses
        return self.pauses

    def address_space(self, packet: bytes) -> int | None:
        """What changes when virtual addresses come to mean something else; None where the packet does not tell."""
        return self._value(packet, "cr3") if "cr3" in self.registers else None

    def digits(self, packet: bytes, number: int) -> bytes | None:
        """The part of ``packet`` that holds register ``number``, counted as QEMU does; None if it is not in it."""
        listed = list(self.registers.values())
        return _digits(packet, listed[number]) if 0 <= number < len(listed) else None

    def settled(self, number: int) -> str | None:
        """The name of register ``number`` if it is right in the middle of a block, too, and has eight bytes at most."""
        listed = list(self.registers.values())
        if not 0 <= number < len(listed):
            return None
        register = listed[number]
        right = register.name in self.general and register.name not in (self.pc, *_UNSETTLED)
        return register.name if right and register.size <= _MOST_SETTLED else None

    @property
    def segmented(self) -> bool:
        """Whether the pc counts from a base that no register holds, as on x86."""
        return "cs" in self.registers

    def is_long(self, packet: bytes) -> bool:
        """Whether long mode is active, in which 64-bit code may run."""
        return bool(self._value(packet, "efer") & _EFER_LMA)

    def value(self, packet: bytes, name: str) -> int:
        """The register ``name``; 0 if there is none."""
        return self._value(packet, name)

    def stack_pointer(self, packet: bytes) -> int | None:
        """The address of the top of the stack; None if no register is known to hold it."""
        name = next((name for name in ("rsp", "esp", "sp") if name in self.registers), None)
        return None if name is None else self._value(packet, name)

    def _value(self, packet: bytes, name: str) -> int:
        digits = _digits(packet, self.registers[name]) if name in self.registers else None
        return int.from_bytes(bytes.fromhex(digits.decode()), self.byte_order) if digits else 0

    def decode(self, packet: bytes) -> dict[str, int]:
        """Values by name; registers that lie beyond the packet's end are left out."""
        raw = bytes.fromhex(packet.decode())
        return {
            register.name: int.from_bytes(raw[register.offset : register.offset + register.size], self.byte_order)
            for register in self.registers.values()
            if register.offset + register.size <= len(raw)
        }


def _digits(packet: bytes, register: Register) -> bytes | None:
    start, end = 2 * register.offset, 2 * (register.offset + register.size)
    return packet[start:end] if end <= len(packet) else None


async def read_description(rsp: RspClient) -> tuple[str, dict[str, str]]:
    """Fetch ``target.xml`` and what it includes: the architecture's name and the documents by name.

    :raises RspError: the stub has no description, or a damaged one.
    """
    documents: dict[str, str] = {}
    wanted = ["target.xml"]
    architecture = ""
    while wanted:
        name = wanted.pop(0)
        documents[name] = await _transfer(rsp, name)
        root = _parse(documents[name], name)
        architecture = architecture or (root.findtext("architecture") or "").strip()
        wanted += [item.attrib["href"] for item in root.iter("include") if item.attrib["href"] not in documents]
    return architecture, documents


def register_file(architecture: str, documents: Mapping[str, str]) -> RegisterFile:
    """Work out the layout of the ``g`` packet from a target description.

    :raises RspError: no register in it looks like a program counter.
    """
    numbered: dict[int, tuple[str, int]] = {}
    general: set[str] = set()
    number = 0
    for name, text in documents.items():
        for item in _parse(text, name).iter("reg"):
            number = int(item.attrib.get("regnum", number))
            numbered[number] = (item.attrib["name"], int(item.attrib["bitsize"]) // 8)
            kind = item.attrib.get("type", "int")
            if not (kind in _SPECIAL_TYPES or kind.startswith("vec") or item.attrib.get("group") == "float"):
                general.add(item.attrib["name"])
            number += 1
    registers: dict[str, Register] = {}
    offset = 0
    for number, (name, size) in sorted(numbered.items()):
        registers[name] = Register(name, offset, size, number)
        offset += size
    pc = next((name for name in ("rip", "eip", "pc", "pswa") if name in registers), None)
    if pc is None:
        raise RspError("The gdbstub's target description names no program counter.")
    return RegisterFile(
        registers, pc, "big" if architecture.startswith(_BIG_ENDIAN) else "little", frozenset(general),
        architecture.startswith(_STOPS_BEFORE_ACCESS),
        next((codes for name, codes in _PAUSES.items() if architecture.startswith(name)), ()),
    )  # fmt: skip


async def _transfer(rsp: RspClient, name: str) -> str:
    parts = []
    offset = 0
    while True:
        answer = await rsp.exchange(f"qXfer:features:read:{name}:{offset:x},{0x7C0:x}")
        if answer[:1] not in (b"m", b"l"):
            raise RspError(f"QEMU's gdbstub has no target description {name} ({answer[:20]!r}).")
        parts.append(answer[1:])
        offset += len(answer) - 1
        if answer[:1] == b"l":
            return b"".join(parts).decode()


def _parse(text: str, name: str) -> ElementTree.Element:
    try:
        # QEMU (7.2 to 11.1) uses the prefix "xi:" without declaring it.
        return ElementTree.fromstring(text.replace("<xi:include", "<include"))
    except ElementTree.ParseError as error:
        raise RspError(f"The gdbstub's target description {name} is damaged: {error}.") from None
