"""x86 in all its modes, as Intel's manual describes it."""

from __future__ import annotations

import re
from typing import Any

from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.program.decoding.conditions import x86_holds
from rrdbg.model.program.decoding.decoder import MEMORY, REGISTER, Decoder, Instruction, Reading
from rrdbg.model.program.moves import (
    COMPUTED,
    FROM_CPU,
    INPUT,
    RETURN_ADDRESS,
    Made,
    MemoryPlace,
    Move,
    Place,
    RegisterPlace,
)

_COPIES = frozenset({"mov", "movabs", "movnti", "movzx", "movsx", "movsxd"})
_CONDITIONAL = re.compile(r"cmov(\w+)")
_VECTOR = re.compile(r"v?(?:mov(?:[au]p[sd]|dq[au](?:64|32|16|8)?|ntdq|ntp[sd]|(?P<single>s[sd]|[dq]))|lddqu)")
_SINGLE = {"d": 4, "ss": 4, "q": 8, "sd": 8}
_STRING = re.compile(r"(?:movs|stos|lods|ins)[bwdq]")
_PUSHED_ALL = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
_CPU = {
    "rdtsc": ("rax", "rdx"), "rdtscp": ("rax", "rdx", "rcx"), "cpuid": ("rax", "rbx", "rcx", "rdx"),
    "rdmsr": ("rax", "rdx"), "rdpmc": ("rax", "rdx"), "xgetbv": ("rax", "rdx"), "rdpkru": ("rax", "rdx"),
}  # fmt: skip
_CPU_OPERAND = frozenset({"rdrand", "rdseed", "smsw", "sidt", "sgdt", "sldt", "str", "rdpid"})
_WORD_REGISTERS = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
_MODES = {CodeMode.BITS16: 2, CodeMode.BITS32: 4, CodeMode.BITS64: 8}


class X86Decoder(Decoder):
    """Both register files that QEMU has: that of x86-64 and that of i386."""

    longest = 15
    flags = ("eflags",)

    def register(self, name: str) -> RegisterPlace | None:
        """Names are the assembler's: ``rax``, ``eax``, ``ah``, ``r8d``, ``xmm0``, ``ds``."""
        for offset, size, full in _candidates(name):
            if full in self.sizes:
                return RegisterPlace(full, size, offset)
        return self._whole(name)

    def read(self, instruction: Instruction) -> Reading | None:
        """Any instruction that Capstone knows, in the mode that it is read in."""
        import capstone

        bytes_of_mode = _MODES[instruction.mode or CodeMode.BITS64]
        mode = {2: capstone.CS_MODE_16, 4: capstone.CS_MODE_32, 8: capstone.CS_MODE_64}[bytes_of_mode]
        engine = capstone.Cs(capstone.CS_ARCH_X86, mode)
        engine.detail = True
        decoded = next(engine.disasm(instruction.code, instruction.address, 1), None)
        return None if decoded is None else _X86Reading(self, decoded, instruction)


def _candidates(name: str) -> list[tuple[int, int, str]]:
    """What ``name`` may be: offset and size in bytes, and the whole register."""
    found = []
    if match := re.fullmatch(r"(r\d+)([bwd]?)", name):
        found.append((0, {"b": 1, "w": 2, "d": 4, "": 8}[match[2]], match[1]))
    if name[:1] == "e" and name[1:] in _WORD_REGISTERS:
        found.append((0, 4, f"r{name[1:]}"))
    if name[:1] == "r" and name[1:] in _WORD_REGISTERS:
        found.append((0, 4, f"e{name[1:]}"))
    if name in _WORD_REGISTERS:
        found += [(0, 2, f"r{name}"), (0, 2, f"e{name}")]
    if re.fullmatch(r"[abcd][lh]", name):
        found += [(int(name[1] == "h"), 1, f"{wide}{name[0]}x") for wide in "re"]
    if re.fullmatch(r"(si|di|bp|sp)l", name):
        found.append((0, 1, f"r{name[:2]}"))
    if re.fullmatch(r"[xyz]mm\d+", name):
        found.append((0, 16, f"xmm{name[3:]}"))
    if re.fullmatch(r"[c-gs]s", name):
        found.append((0, 2, name))
    if name in ("rflags", "flags"):
        found.append((0, 4, "eflags"))
    return found


class _X86Reading(Reading):
    """One instruction."""

    @property
    def _word(self) -> int:
        """Bytes of a word of the stack, unless a prefix says otherwise."""
        return _MODES[self.instruction.mode or CodeMode.BITS64]

    def moves(self) -> list[Move]:
        name, operands = str(self.decoded.insn_name()), self.operands
        if _STRING.fullmatch(name) and len(operands) == 2 and not self._is_vector():
            return self._string(name)
        match name:
            case "push" | "pushf" | "pushfd" | "pushfq" | "pushal" | "pushaw":
                return self._push(name)
            case "pop":
                size = self._slot_size(operands[0])
                return self._copy(operands[0], MemoryPlace(self._stack(0), size), size)
            case "popal" | "popaw":
                return self._pop_all(4 if name == "popal" else 2)
            case "call" | "lcall":
                size = self._word * (2 if name == "lcall" else 1)
                return [Move(MemoryPlace(self._stack(-size), size), Made(RETURN_ADDRESS)), *self.computed()]
            case "leave":
                frame = MemoryPlace(self._linear("ss", self.value(self._sized("bp"))), self._word)
                return self._into(self._sized("bp"), frame)
            case "xchg":
                places = [self.source(operand) for operand in operands]
                return [
                    Move(self._target(operand), source) for operand, source in zip(operands, places[::-1], strict=True)
                ]
            case "in":
                return self._copy(operands[0], Made(INPUT))
        if name in _CPU:
            return [move for register in _CPU[name] for move in self._into(register, Made(FROM_CPU))]
        if name in _CPU_OPERAND and operands:
            return self._copy(operands[0], Made(FROM_CPU))
        return self._move(name) if len(operands) == 2 else self.computed()

    def address(self, operand: Any) -> int:
        memory, width = operand.mem, self.decoded.addr_size
        base, index = self.name(memory.base), self.name(memory.index)
        address = memory.disp + self.value(index) * memory.scale
        if base in ("rip", "eip", "ip"):
            address += self.instruction.address + self.decoded.size
        else:
            address += self.value(base)
        segment = self.name(memory.segment) or ("ss" if base in ("rsp", "rbp", "esp", "ebp", "sp", "bp") else "ds")
        return self._linear(segment, address & ((1 << 8 * width) - 1))

    def overwritten(self, place: RegisterPlace) -> RegisterPlace:
        """A write to the lower half of a register of x86-64 clears the upper one."""
        if place.size == 4 and place.offset == 0 and self.decoder.sizes[place.name] == 8:
            return place.part(0, 8)
        return place

    def _move(self, name: str) -> list[Move]:
        target, source = self.operands
        if (match := _CONDITIONAL.fullmatch(name)) is not None:
            return self._copy(target, self.source(source)) if self._holds(match[1]) else []
        if name in _COPIES:
            return self._copy(target, self.source(source))
        if match := _VECTOR.fullmatch(name):
            size = _SINGLE.get(match["single"] or "", 16)
            return self._copy(target, self.source(source, size), size)
        return self.computed()

    def _holds(self, condition: str) -> bool:
        return x86_holds(condition, self.value("eflags"))

    def _string(self, name: str) -> list[Move]:
        target, source = self.operands
        if name.startswith("ins"):
            return self._copy(target, Made(INPUT))
        place = self.source(source)
        piece = name.startswith("movs")
        return [Move(self._target(target), place, piece)]

    def _push(self, name: str) -> list[Move]:
        if name in ("pushal", "pushaw"):
            size = 4 if name == "pushal" else 2
            return [
                Move(MemoryPlace(self._stack(-size * number), size), self._part(f"e{register}", size))
                for number, register in enumerate(_PUSHED_ALL, 1)
            ]
        if name != "push":
            size = self._word if name == "pushf" else 8 if name == "pushfq" else 4
            return [Move(MemoryPlace(self._stack(-size), size), self._part("eflags", min(size, 4)))]
        operand = self.operands[0]
        size = self._slot_size(operand)
        return [Move(MemoryPlace(self._stack(-size), size), self.source(operand))]

    def _pop_all(self, size: int) -> list[Move]:
        return [
            Move(place, MemoryPlace(self._stack(size * number), size))
            for number, register in enumerate(_PUSHED_ALL[::-1])
            if register != "sp" and isinstance(place := self._part(f"e{register}", size), RegisterPlace)
        ]

    def _slot_size(self, operand: Any) -> int:
        """Bytes that an operand takes on the stack; a segment register takes a whole word."""
        is_segment = operand.type == REGISTER and re.fullmatch("[c-gs]s", self.name(operand.reg)) is not None
        return self._word if is_segment else operand.size or self._word

    def _part(self, name: str, size: int) -> Place | Made:
        place = self.decoder.register(name)
        return Made(COMPUTED) if place is None else place.part(0, size)

    def _copy(self, target: Any, source: Place | Made, size: int = 0) -> list[Move]:
        """``source`` into an operand, of which ``size`` bytes are written, if told; the others are kept or cleared."""
        place = self._target(target, size if target.type == MEMORY else 0)
        if isinstance(source, MemoryPlace | RegisterPlace) and isinstance(place, MemoryPlace):
            source = source.part(0, min(source.size, place.size))
        return [Move(place, source)]

    def _target(self, operand: Any, size: int = 0) -> Place:
        if operand.type == MEMORY:
            return MemoryPlace(self.address(operand), size or operand.size)
        place = self.register(operand.reg)
        return self.overwritten(place) if place else RegisterPlace(self.name(operand.reg), operand.size)

    def _into(self, name: str, source: Place | Made) -> list[Move]:
        place = self.decoder.register(name)
        return [] if place is None else [Move(self.overwritten(place), source)]

    def _sized(self, name: str) -> str:
        return {2: "", 4: "e", 8: "r"}[self._word] + name

    def _stack(self, offset: int) -> int:
        """The linear address so many bytes above the top of the stack."""
        mask = (1 << 8 * self._word) - 1
        return self._linear("ss", self.value(self._sized("sp")) + offset & mask)

    def _linear(self, segment: str, address: int) -> int:
        if self._word == 8:
            base = self.instruction.registers.get(f"{segment}_base", 0) if segment in ("fs", "gs") else 0
            return address + base & (1 << 64) - 1
        return address + self.instruction.registers.get(f"{segment}_base", 0) & 0xFFFF_FFFF

    def _is_vector(self) -> bool:
        return any(
            operand.type == REGISTER and re.match("[xyz]mm", self.name(operand.reg)) for operand in self.operands
        )
