"""What the decoders of all architectures have in common: they turn what Capstone reads out of code into moves.

Capstone (the package ``capstone``) tells an instruction's name and operands. That a ``mov`` copies what an ``add``
computes, and which bytes of a register it fills, is ours to know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.program.moves import COMPUTED, CONSTANT, FROM_CPU, Made, MemoryPlace, Move, Place, RegisterPlace

REGISTER, IMMEDIATE, MEMORY = 1, 2, 3
"""The types of operands (``CS_OP_REG`` and so on), which are the same on each architecture."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction about to be executed: code from its first byte on, its address, and the registers before it.

    ``mode`` is how an x86 CPU reads it; there ``registers`` have the bases of segments, too, such as ``ds_base``.
    """

    code: bytes
    address: int
    registers: Mapping[str, int]
    mode: CodeMode | None = None


class Decoder(ABC):
    """Reads the instructions of one architecture, whose registers have so many bytes, by the target's names."""

    longest: ClassVar[int] = 4
    """Bytes of the longest instruction."""
    flags: ClassVar[tuple[str, ...]] = ()
    """The registers, of which there is one, that say which conditional instructions are executed."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes

    @abstractmethod
    def register(self, name: str) -> RegisterPlace | None:
        """The register or the part of one that the architecture calls ``name``; None if there is no such one."""

    @abstractmethod
    def read(self, instruction: Instruction) -> Reading | None:
        """What ``instruction`` is; None if that is not known."""

    def moves(self, instruction: Instruction) -> list[Move] | None:
        """What ``instruction`` puts where; None if that is not known."""
        reading = self.read(instruction)
        return None if reading is None else reading.moves()

    def named(self, instruction: Instruction) -> dict[str, int]:
        """The values of the registers that ``instruction`` names."""
        reading = self.read(instruction)
        places = reading.registers() if reading else []
        return {place.name: instruction.registers[place.name] for place in places}

    def _whole(self, name: str) -> RegisterPlace | None:
        return RegisterPlace(name, self.sizes[name]) if name in self.sizes else None


class Reading(ABC):
    """One instruction as Capstone has decoded it; its subclasses know which moves that is."""

    def __init__(self, decoder: Decoder, decoded: Any, instruction: Instruction) -> None:
        self.decoder = decoder
        self.decoded = decoded
        self.instruction = instruction
        self.operands: list[Any] = list(decoded.operands)

    @abstractmethod
    def moves(self) -> list[Move]:
        """What it puts where; of memory also what is no copy."""

    @abstractmethod
    def address(self, operand: Any) -> int:
        """The virtual address of an operand in memory."""

    def registers(self) -> list[RegisterPlace]:
        """All registers that its operands name."""
        names: list[int] = []
        for operand in self.operands:
            if operand.type == REGISTER:
                names.append(operand.reg)
            elif operand.type == MEMORY:
                names += [operand.mem.base, getattr(operand.mem, "index", 0)]
        found = (self.register(number) for number in names if number)
        return [place for place in found if place]

    def register(self, number: int) -> RegisterPlace | None:
        """The register of Capstone's number."""
        return self.decoder.register(self.name(number))

    def name(self, number: int) -> str:
        """Capstone's name of a register."""
        return str(self.decoded.reg_name(number) or "")

    def value(self, name: str) -> int:
        """The content of a register, by the architecture's name; 0 if there is none."""
        place = self.decoder.register(name)
        if place is None:
            return 0
        return self.instruction.registers.get(place.name, 0) >> 8 * place.offset & ((1 << 8 * place.size) - 1)

    def source(self, operand: Any, size: int = 0) -> Place | Made:
        """What an operand gives: a place, of which ``size`` bytes are taken if told, or what is from none."""
        if operand.type == IMMEDIATE:
            return Made(CONSTANT)
        if operand.type == MEMORY:
            return MemoryPlace(self.address(operand), size or operand.size)
        place = self.register(operand.reg) if operand.type == REGISTER else None
        if place is None:
            return Made(FROM_CPU)
        return place.part(0, min(size or place.size, place.size))

    def overwritten(self, place: RegisterPlace) -> RegisterPlace:
        """All that changes when ``place`` is written."""
        return place

    def computed(self, sizes: int = 0) -> list[Move]:
        """The operands in memory, of ``sizes`` bytes if the operands do not tell: what comes into them is computed."""
        return [
            Move(MemoryPlace(self.address(operand), sizes or operand.size), Made(COMPUTED))
            for operand in self.operands
            if operand.type == MEMORY
        ]

    def put(self, number: int, source: Place | Made) -> list[Move]:
        """The register of Capstone's ``number`` gets ``source``; nothing if nobody can ask for it."""
        place = self.register(number)
        return [] if place is None else [Move(self.overwritten(place), source)]
