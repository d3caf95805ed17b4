"""RISC-V of 32 and 64 bits, with compressed instructions."""

from __future__ import annotations

import re
from typing import Any

from rrdbg.model.program.decoding.decoder import MEMORY, REGISTER, Decoder, Instruction, Reading
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

_LOAD = re.compile(r"f?l(?P<size>[bhwd])(?:u|sp)?")
_STORE = re.compile(r"f?s(?P<size>[bhwd])(?:sp)?")
_RESERVED = re.compile(r"(?P<verb>lr|sc|amo\w+)\.(?P<size>[wd])(?:\.\w+)?")
_SIZES = {"b": 1, "h": 2, "w": 4, "d": 8}
_MOVES = frozenset({"mv", "fmv.d", "fmv.s", "fmv.x.d", "fmv.d.x", "fmv.w.x", "fmv.x.w"})
_CONSTANTS = frozenset({"li", "lui", "auipc"})
_COUNTERS = frozenset({"rdcycle", "rdtime", "rdinstret", "rdcycleh", "rdtimeh", "rdinstreth"})
_LINKS = {"jal": "ra", "jalr": "ra"}


class RiscvDecoder(Decoder):
    """Registers by their names in the calling convention, as QEMU has them; of ``s0`` and ``fp`` the latter."""

    def register(self, name: str) -> RegisterPlace | None:
        """``zero`` is none."""
        if name in ("zero", "x0"):
            return None
        return self._whole(name) or (self._whole("fp") if name == "s0" else None)

    def read(self, instruction: Instruction) -> Reading | None:
        """Any instruction that Capstone knows."""
        import capstone

        wide = self.sizes.get("ra", 8) == 8
        mode = (capstone.CS_MODE_RISCV64 if wide else capstone.CS_MODE_RISCV32) | capstone.CS_MODE_RISCVC
        engine = capstone.Cs(capstone.CS_ARCH_RISCV, mode)
        engine.detail = True
        decoded = next(engine.disasm(instruction.code, instruction.address, 1), None)
        return None if decoded is None else _RiscvReading(self, decoded, instruction)


class _RiscvReading(Reading):
    """One instruction. Capstone's own names, such as ``mv``, are taken for what an assembler has made of them."""

    def moves(self) -> list[Move]:
        name, operands = str(self.decoded.mnemonic).removeprefix("c."), self.operands
        if match := _LOAD.fullmatch(name):
            return self.put(operands[0].reg, MemoryPlace(self._accessed(), _SIZES[match["size"]]))
        if match := _STORE.fullmatch(name):
            return self._store(_SIZES[match["size"]])
        if match := _RESERVED.fullmatch(name):
            return self._atomic(match["verb"], _SIZES[match["size"]])
        if name in _LINKS:
            linked = operands[0].reg if len(operands) > 1 and operands[0].type == REGISTER else 0
            place = self.register(linked) if linked else self.decoder.register(_LINKS[name])
            return [] if place is None else [Move(place, Made(RETURN_ADDRESS))]
        if name in _COUNTERS or (name.startswith("csrr") and len(operands) > 0):
            return self.put(operands[0].reg, Made(FROM_CPU))
        if name in _CONSTANTS or (name in ("addi", "addiw") and self.register(operands[1].reg) is None):
            return self.put(operands[0].reg, Made(CONSTANT))
        if name in _MOVES:
            return self.put(operands[0].reg, self._read(operands[1]))
        if name == "sext.w":
            return self.put(operands[0].reg, self._read(operands[1], 4))
        return []

    def address(self, operand: Any) -> int:
        return self._at(operand.mem.base, operand.mem.disp)

    def _accessed(self) -> int:
        """The address that a load or a store is about; compressed ones have it in two operands."""
        memory = self.operands[-1]
        if memory.type == MEMORY:
            return self.address(memory)
        return self._at(memory.reg, self.operands[-2].imm)

    def _at(self, base: int, offset: int) -> int:
        bits = 8 * self.decoder.sizes.get("ra", 8)
        return self.value(self.name(base)) + offset & (1 << bits) - 1

    def _store(self, size: int) -> list[Move]:
        return [Move(MemoryPlace(self._accessed(), size), self._read(self.operands[0], size))]

    def _atomic(self, verb: str, size: int) -> list[Move]:
        memory = MemoryPlace(self._at(self.operands[-1].reg, 0), size)
        if verb == "lr":
            return self.put(self.operands[0].reg, memory)
        stored = self._read(self.operands[1], size) if verb in ("sc", "amoswap") else Made(COMPUTED)
        loaded = [] if verb == "sc" else self.put(self.operands[0].reg, memory)
        return [*loaded, Move(memory, stored)]

    def _read(self, operand: Any, size: int = 0) -> Place | Made:
        place = self.register(operand.reg)
        if place is None:
            return Made(CONSTANT)
        return place.part(0, min(size or place.size, place.size))
