"""64-bit Arm, A64 code."""

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
    Place,
    RegisterPlace,
)

_MASK = (1 << 64) - 1
_VECTOR_SIZES = {"b": 1, "h": 2, "s": 4, "d": 8, "q": 16, "v": 16}
_LOAD = re.compile(r"ld(?:n?p|u?r|tr|ar|xr|axr|apr|apur|axp|xp)(?P<size>s?[bhw])?")
_STORE = re.compile(r"st(?:n?p|u?r|tr|lr|lur)(?P<size>[bh])?")
_STORE_EXCLUSIVE = re.compile(r"stl?x[rp](?P<size>[bh])?")
_EXTENSION = re.compile(r"[us]xt(?P<size>[bhw])")
_SIZES = {"b": 1, "h": 2, "w": 4}
_ZERO_BLOCK = 64
"""Bytes that ``dc zva`` clears on QEMU's CPUs, aligned."""

_UXTB, _SXTB = 1, 5
"""How Capstone numbers the extensions of an index: by 8, 16, 32 and 64 bits, without and with a sign."""


class Aarch64Decoder(Decoder):
    """``x0`` to ``x30``, ``sp``, ``pc``, ``cpsr``, ``v0`` to ``v31``."""

    flags = ("cpsr",)

    def register(self, name: str) -> RegisterPlace | None:
        """Names are the assembler's: ``x0``, ``w0``, ``fp``, ``lr``, ``q0``, ``d0``."""
        name = {"fp": "x29", "lr": "x30"}.get(name, name)
        if name == "wsp" or re.fullmatch(r"w\d+", name):
            full = "sp" if name == "wsp" else f"x{name[1:]}"
            return RegisterPlace(full, 4) if full in self.sizes else None
        if match := re.fullmatch(r"([bhsdqv])(\d+)", name):
            full = next((full for full in (f"v{match[2]}", f"z{match[2]}") if full in self.sizes), "")
            return RegisterPlace(full, _VECTOR_SIZES[match[1]]) if full else None
        return self._whole(name)

    def read(self, instruction: Instruction) -> Reading | None:
        """Any A64 instruction that Capstone knows."""
        import capstone

        engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
        engine.detail = True
        decoded = next(engine.disasm(instruction.code, instruction.address, 1), None)
        return None if decoded is None else _Aarch64Reading(self, decoded, instruction)


class _Aarch64Reading(Reading):
    """One instruction."""

    def moves(self) -> list[Move]:
        name, operands = str(self.decoded.insn_name()), self.operands
        if match := _LOAD.fullmatch(name):
            return self._load(match["size"] or "")
        if match := _STORE.fullmatch(name):
            return self._store(match["size"] or "", operands)
        if match := _STORE_EXCLUSIVE.fullmatch(name):
            return self._store(match["size"] or "", operands[1:])
        if name in ("bl", "blr"):
            return self._into("lr", Made(RETURN_ADDRESS))
        if name == "mrs":
            return self.put(operands[0].reg, Made(FROM_CPU))
        if name == "dc" and self.decoded.op_str.startswith("zva"):
            start = self.value(self.name(operands[-1].reg)) & -_ZERO_BLOCK
            return [Move(MemoryPlace(start, _ZERO_BLOCK), Made(CONSTANT))]
        return self._of_registers(name)

    def _of_registers(self, name: str) -> list[Move]:
        operands = self.operands
        if name in ("adr", "adrp") or (name in ("mov", "movz", "movn") and operands[-1].type == IMMEDIATE):
            return self.put(operands[0].reg, Made(CONSTANT))
        if name == "movk" and (place := self.register(operands[0].reg)):
            return [Move(place.part(operands[1].shift.value // 8, 2), Made(CONSTANT))]
        if name in ("mov", "fmov", "umov") and len(operands) == 2:
            return self._copy(*operands)
        if (match := _EXTENSION.fullmatch(name)) and len(operands) == 2:
            return self.put(operands[0].reg, self.source(operands[1], _SIZES[match["size"]]))
        if name == "csel":
            chosen = operands[1 if arm_holds(self.decoded.cc - 1, self.value("cpsr")) else 2]
            return self._copy(operands[0], chosen)
        return self.computed(64)

    def _copy(self, target: Any, source: Any) -> list[Move]:
        if target.vector_index >= 0:
            return []  # a part of a vector
        if source.type != REGISTER:
            return self.put(target.reg, Made(CONSTANT))
        place = self._read(source.reg)
        if source.vector_index >= 0 and isinstance(place, RegisterPlace):
            size = self._size(target)
            place = place.part(source.vector_index * size, size)
        return self.put(target.reg, place)

    def _load(self, kind: str) -> list[Move]:
        memory = next((operand for operand in self.operands if operand.type == MEMORY), None)
        registers = [operand for operand in self.operands if operand.type == REGISTER]
        if memory is not None:
            registers = self.operands[: self.operands.index(memory)]
            address = self.address(memory)
        elif self.operands[-1].type == IMMEDIATE:
            address = self.operands[-1].imm & _MASK
        else:
            return []
        moves = []
        for operand in registers:
            size = _SIZES.get(kind[-1:], 0) or self._size(operand)
            moves += self.put(operand.reg, MemoryPlace(address, size))
            address += size
        return moves

    def _store(self, kind: str, operands: list[Any]) -> list[Move]:
        memory = next((operand for operand in operands if operand.type == MEMORY), None)
        if memory is None:
            return []
        moves, address = [], self.address(memory)
        for operand in operands[: operands.index(memory)]:
            size = _SIZES.get(kind, 0) or self._size(operand)
            source = self._read(operand.reg)
            part = source.part(0, size) if isinstance(source, RegisterPlace) else source
            moves.append(Move(MemoryPlace(address, size), part))
            address += size
        return moves

    def address(self, operand: Any) -> int:
        memory = operand.mem
        address = self.value(self.name(memory.base)) + memory.disp
        if memory.index:
            index = self.value(self.name(memory.index))
            if operand.ext:
                index = _extended(index, operand.ext)
            address += index << operand.shift.value
        return int(address) & _MASK

    def overwritten(self, place: RegisterPlace) -> RegisterPlace:
        """A write to the lower part of a register clears the rest, of a vector, too."""
        return place.part(0, self.decoder.sizes[place.name])

    def _read(self, number: int) -> Place | Made:
        """What a register gives; ``xzr`` and ``wzr`` are no registers."""
        return self.register(number) or Made(CONSTANT if self.name(number) in ("xzr", "wzr") else COMPUTED)

    def _size(self, operand: Any) -> int:
        name = self.name(operand.reg)
        return (
            4
            if name in ("wzr", "wsp") or name.startswith("w")
            else _VECTOR_SIZES.get(name[0], 8)
            if name != "sp"
            else 8
        )

    def _into(self, name: str, source: Made) -> list[Move]:
        place = self.decoder.register(name)
        return [] if place is None else [Move(place, source)]


def _extended(value: int, extension: int) -> int:
    """The index, cut to the bits that Capstone's number of an extension names, and extended."""
    signed = extension >= _SXTB
    bits = 8 << extension - (_SXTB if signed else _UXTB)
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> bits - 1 else value
