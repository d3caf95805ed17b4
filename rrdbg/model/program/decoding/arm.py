"""32-bit Arm, in A32 and T32 code, up to Armv8-A and on Cortex-M."""

from __future__ import annotations

import re
from typing import Any

from rrdbg.model.program.decoding.conditions import arm_holds
from rrdbg.model.program.decoding.decoder import IMMEDIATE, MEMORY, REGISTER, Decoder, Instruction, Reading
from rrdbg.model.program.moves import (
    COMPUTED,
    CONSTANT,
    FROM_CPU,
    RETURN_ADDRESS,
    Made,
    MemoryPlace,
    Move,
    RegisterPlace,
)

_ALIASES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12", "r13": "sp", "r14": "lr", "r15": "pc"}
_THUMB = 1 << 5
_MASK = 0xFFFF_FFFF
_LOAD = re.compile(r"(?:ldr|lda|ldrex|ldaex)(?P<size>s?[bh]|d)?t?|vldr")
_STORE = re.compile(r"(?:str|stl)(?P<size>[bh]|d)?t?|vstr")
_STORE_EXCLUSIVE = re.compile(r"(?:strex|stlex)(?P<size>[bhd])?")
_MULTIPLE = re.compile(r"v?(?P<verb>ldm|stm)(?P<order>ia|ib|da|db)?")
_EXTENSION = re.compile(r"[us]xt(?P<size>[bh])")
_SIZES = {"b": 1, "h": 2}


class ArmDecoder(Decoder):
    """``r0`` to ``r12``, ``sp``, ``lr`` and ``pc``; ``d0`` to ``d31`` and their halves ``s0`` to ``s31``."""

    flags = ("cpsr", "xpsr")

    def register(self, name: str) -> RegisterPlace | None:
        """Names are the assembler's, also the older ones such as ``fp``."""
        if match := re.fullmatch(r"s(\d+)", name):
            full = f"d{int(match[1]) // 2}"
            return RegisterPlace(full, 4, int(match[1]) % 2 * 4) if full in self.sizes else None
        return self._whole(_ALIASES.get(name, name))

    def read(self, instruction: Instruction) -> Reading | None:
        """The instruction in the set that the CPU is in; a Cortex-M knows Thumb only."""
        import capstone

        registers = instruction.registers
        thumb = "xpsr" in registers or bool(registers.get("cpsr", 0) & _THUMB)
        mode = capstone.CS_MODE_THUMB if thumb else capstone.CS_MODE_ARM
        for extension in (capstone.CS_MODE_MCLASS if "xpsr" in registers else 0, capstone.CS_MODE_V8):
            engine = capstone.Cs(capstone.CS_ARCH_ARM, mode | extension)
            engine.detail = True
            if decoded := next(engine.disasm(instruction.code, instruction.address, 1), None):
                return _ArmReading(self, decoded, instruction, thumb=thumb)
        return None


class _ArmReading(Reading):
    """One instruction."""

    def __init__(self, decoder: Decoder, decoded: Any, instruction: Instruction, *, thumb: bool) -> None:
        super().__init__(decoder, decoded, instruction)
        self._thumb = thumb

    def moves(self) -> list[Move]:
        if not self._is_executed():
            return []
        name = self._plain_name()
        if name in ("push", "pop", "vpush", "vpop"):
            return self._multiple("stm" if name.endswith("push") else "ldm", "db" if "push" in name else "ia", "sp")
        if match := _MULTIPLE.fullmatch(name):
            base, *self.operands = self.operands
            return self._multiple(match["verb"], match["order"] or "ia", self.name(base.reg))
        if match := _LOAD.fullmatch(name):
            return self._load(match.groupdict().get("size") or "")
        if match := _STORE_EXCLUSIVE.fullmatch(name):
            return self._store(match["size"] or "", self.operands[1:])
        if match := _STORE.fullmatch(name):
            return self._store(match.groupdict().get("size") or "", self.operands)
        return self._of_registers(name)

    def _of_registers(self, name: str) -> list[Move]:
        operands = self.operands
        if name in ("bl", "blx"):
            return self._put("lr", Made(RETURN_ADDRESS))
        if name in ("mrs", "mrc", "vmrs"):
            registers = [operand for operand in operands if operand.type == REGISTER]
            return self.put(registers[0].reg, Made(FROM_CPU)) if registers else []
        if name in ("movw", "adr") or (name in ("mov", "mvn") and operands[-1].type == IMMEDIATE):
            return self.put(operands[0].reg, Made(CONSTANT))
        if name == "movt" and (place := self.register(operands[0].reg)):
            return [Move(place.part(2, 2), Made(CONSTANT))]
        if name in ("mov", "cpy", "vmov") and len(operands) == 2 and not self._is_shifted(operands[1]):
            return self._copy(operands)
        if (match := _EXTENSION.fullmatch(name)) and len(operands) == 2 and not self._is_shifted(operands[1]):
            return self.put(operands[0].reg, self.source(operands[1], _SIZES[match["size"]]))
        return self.computed(4)

    def _copy(self, operands: list[Any]) -> list[Move]:
        target, source = self.register(operands[0].reg), self.source(operands[1])
        if target and isinstance(source, RegisterPlace) and source.name != "pc" and source.size == target.size:
            return [Move(target, source)]
        return []

    def _load(self, kind: str) -> list[Move]:
        size = _SIZES.get(kind[-1:], 0)
        memory = next((operand for operand in self.operands if operand.type == MEMORY), None)
        if memory is None:
            return []
        moves, address = [], self.address(memory)
        for operand in self._before(memory):
            place = self.register(operand.reg)
            if place:
                moves.append(Move(place, MemoryPlace(address, size or place.size)))
            address += place.size if place else 4
        return moves

    def _store(self, kind: str, operands: list[Any]) -> list[Move]:
        memory = next((operand for operand in operands if operand.type == MEMORY), None)
        if memory is None:
            return []
        size = _SIZES.get(kind, 0)
        moves, address = [], self.address(memory)
        for operand in operands[: operands.index(memory)]:
            place = self.register(operand.reg)
            if place is None:
                return self.computed(8)
            part = place.part(0, size or place.size)
            moves.append(Move(MemoryPlace(address, part.size), self._stored(part)))
            address += part.size
        return moves

    def _multiple(self, verb: str, order: str, base: str) -> list[Move]:
        """Registers to memory or from there, the lowest at the lowest address."""
        places = [self.register(operand.reg) for operand in self.operands]
        if not all(places):
            # A vector register that this CPU's description does not list.
            return [Move(MemoryPlace(self.value(base) - 256 & _MASK, 512), Made(COMPUTED))] if verb == "stm" else []
        listed = [place for place in places if place]
        length = sum(place.size for place in listed)
        start = self.value(base)
        if order in ("da", "db"):
            start -= length
        if order in ("ib", "da"):
            start += 4
        moves = []
        for place in listed:
            memory = MemoryPlace(start & _MASK, place.size)
            moves.append(Move(memory, self._stored(place)) if verb == "stm" else Move(place, memory))
            start += place.size
        return moves

    def address(self, operand: Any) -> int:
        memory = operand.mem
        base = self.name(memory.base)
        if base == "pc":
            # The pc reads as the address of the instruction after the next, as the pipeline of the first Arm had it.
            address = (self.instruction.address + (4 if self._thumb else 8)) & ~3
        else:
            address = self.value(base)
        if self._is_post_indexed(operand):
            return address
        index = self.value(self.name(memory.index)) if memory.index else 0
        if operand.shift.type:
            index <<= operand.shift.value  # the others, which are as good as never used, are no copies of ours
        return int(address + (-index if operand.subtracted else index) + memory.disp) & _MASK

    def _is_post_indexed(self, operand: Any) -> bool:
        return self.operands[-1] is not operand

    def _before(self, memory: Any) -> list[Any]:
        return self.operands[: self.operands.index(memory)]

    def _stored(self, place: RegisterPlace) -> RegisterPlace | Made:
        return Made(COMPUTED) if place.name == "pc" else place

    def _put(self, name: str, source: Made) -> list[Move]:
        place = self.decoder.register(name)
        return [Move(place, source)] if place else []

    def _plain_name(self) -> str:
        """The name without condition, width, type and the ``s`` that sets flags."""
        name = str(self.decoded.insn_name())
        if name in ("movs", "mvns", "asrs", "lsls"):
            name = name[:-1]
        return name

    def _is_shifted(self, operand: Any) -> bool:
        return bool(operand.shift.type)

    def _is_executed(self) -> bool:
        """Whether the condition holds that the instruction has, or is given by an ``it`` before it."""
        registers = self.instruction.registers
        status = registers.get("xpsr", registers.get("cpsr", 0))
        if self._thumb:
            block = status >> 25 & 3 | status >> 8 & 0xFC
            return arm_holds(block >> 4, status) if block & 0xF else True
        condition = self.decoded.cc  # counted from 1 on, 15 for always
        return arm_holds(condition - 1, status) if condition else True
