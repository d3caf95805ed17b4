"""Where the value comes from that an instruction puts into a place: another place, or nowhere else.

Understood are the instructions that only move a value, as QEMU's disassembler writes them: x86-64 in AT&T's syntax, as
the Intel manual describes them. :func:`source_of` is given a place that the instruction has changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class RegisterPlace:
    """``size`` bytes of the register ``name`` (as the target description calls it), from byte ``offset`` of it on."""

    name: str
    size: int
    offset: int = 0

    def __str__(self) -> str:
        return f"${self.name}"

    def part(self, start: int, size: int) -> RegisterPlace:
        """``size`` bytes of it, from byte ``start`` of it on."""
        return replace(self, size=size, offset=self.offset + start)


@dataclass(frozen=True, slots=True)
class MemoryPlace:
    """``size`` bytes of memory from a virtual ``address`` on."""

    address: int
    size: int

    def __str__(self) -> str:
        return f"*{self.address:#x}:{self.size}"

    def part(self, start: int, size: int) -> MemoryPlace:
        """``size`` bytes of it, from byte ``start`` of it on."""
        return MemoryPlace(self.address + start, size)


Place = RegisterPlace | MemoryPlace


@dataclass(frozen=True, slots=True)
class Made:
    """The value is from no other place: ``how`` it came about, such as ``computed``."""

    how: str


@dataclass(frozen=True, slots=True)
class Copied:
    """The value was in ``source``; of the place that was asked about only ``target`` was written.

    ``whole`` is where all of it comes from, if this is one of several instructions that copy it piece by piece; that is
    only so if the same bytes are there.
    """

    source: Place
    target: Place
    whole: Place | None = None


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction about to be executed: its text, where the next one begins, and the registers before it."""

    text: str
    next_address: int
    registers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Hop:
    """One step on a value's way: the instruction at ``position`` put the ``value``, or a part of it, into ``place``.

    ``source`` is where that was before; None where the way ends, and ``end`` says why. Then ``registers`` are those
    that the instruction names, before it.
    """

    place: Place
    value: bytes
    position: Position
    pc: int
    instruction: str
    source: Place | None = None
    end: str = ""
    registers: Mapping[str, int] = field(default_factory=dict)


COMPUTED = "computed"
CONSTANT = "a constant"
INPUT = "input from a port"
FROM_CPU = "told by the CPU"
RETURN_ADDRESS = "the return address of a call"
NOT_WRITTEN = "written by an interrupt or an exception"

_PREFIXES = frozenset({"rep", "repe", "repne", "repz", "repnz", "lock", "data16", "notrack", "bnd"})
_SIZES = {"b": 1, "w": 2, "l": 4, "q": 8}
_MOVE = re.compile(r"mov(?:abs|nti)?(?P<size>[bwlq])?|cmov[a-z]+?(?P<cmov>[wlq])?")
_EXTENDING = re.compile(r"mov[zs](?P<source>[bwl])(?P<target>[wlq])|movslq|movsxd")
_VECTOR = re.compile(r"v?(?:mov(?:[au]p[sd]|dq[au](?:64|32|16|8)?|ntdq|ntp[sd]|(?P<single>s[sd]|[dq]))|lddqu)")
_SINGLE = {"d": 4, "ss": 4, "q": 8, "sd": 8}
_STRING = re.compile(r"(?P<verb>movs|stos|lods|ins)(?P<size>[bwlq])")
_STACK = re.compile(r"(?P<verb>push|pop)(?P<size>[wlq])?")
_CPU = frozenset({"rdtsc", "rdtscp", "cpuid", "rdmsr", "rdpmc", "rdrand", "rdseed", "xgetbv", "rdpkru", "smsw", "sidt"})
_TRAPS = frozenset({"int", "int3", "int1", "into", "ud0", "ud1", "ud2"})
_PORT = re.compile(r"in[bwl]?")
_MEMORY = re.compile(
    r"(?:%(?P<segment>[c-gs]s):)?(?P<displacement>-?(?:0x[0-9a-f]+|\d+))?"
    r"(?:\((?:%(?P<base>\w+))?(?:, ?%(?P<index>\w+)(?:, ?(?P<scale>[1248]))?)?(?:, ?(?P<bare>[1248]))?\))?"
)
_WORD_REGISTERS = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
_MASK = (1 << 64) - 1


def source_of(instruction: Instruction, asked: Place) -> Copied | Made:
    """Where the value comes from that ``instruction`` puts into ``asked``, or into a part of it."""
    words = instruction.text.split(None, 1)
    while words and words[0] in _PREFIXES and len(words) > 1:
        words = words[1].split(None, 1)
    name = words[0]
    operands = _operands(words[1]) if len(words) > 1 else []
    return _Reader(instruction, asked).read(name, operands)


def register_named(name: str, registers: Mapping[str, int]) -> RegisterPlace | None:
    """The register or the part of one that x86 calls ``name``; None if there is none in ``registers``."""
    for offset, size, full in _candidates(name):
        if full in registers:
            return RegisterPlace(full, size, offset)
    return None


def _candidates(name: str) -> list[tuple[int, int, str]]:
    """What ``name`` may be: offset and size in bytes, and the whole register."""
    found = []
    if match := re.fullmatch(r"(r\d+)([bwd]?)", name):
        found.append((0, {"b": 1, "w": 2, "d": 4, "": 8}[match[2]], match[1]))
    if name[:1] == "e" and name[1:] in _WORD_REGISTERS:
        found += [(0, 4, f"r{name[1:]}"), (0, 4, name)]
    if name in _WORD_REGISTERS:
        found += [(0, 2, f"r{name}"), (0, 2, f"e{name}")]
    if re.fullmatch(r"[abcd][lh]", name):
        found += [(int(name[1] == "h"), 1, f"{wide}{name[0]}x") for wide in "re"]
    if re.fullmatch(r"(si|di|bp|sp)l", name):
        found.append((0, 1, f"r{name[:2]}"))
    if re.fullmatch(r"[xy]mm\d+", name):
        found.append((0, 16, f"xmm{name[3:]}"))
    if re.fullmatch(r"[c-gs]s", name):
        found.append((0, 2, name))
    return [*found, (0, 8, name)]


class _Reader:
    """Reads one instruction, to tell what it puts into ``asked``."""

    def __init__(self, instruction: Instruction, asked: Place) -> None:
        self._registers = instruction.registers
        self._next = instruction.next_address
        self._asked = asked

    def read(self, name: str, operands: list[str]) -> Copied | Made:
        if (match := _STRING.fullmatch(name)) and not self._is_vector(operands):
            return self._string(match["verb"], _SIZES[match["size"]])
        if match := _STACK.fullmatch(name):
            return self._stack(match["verb"], _SIZES[match["size"] or "q"], operands[0])
        if name.startswith("call"):
            return Made(RETURN_ADDRESS) if self._overlap(self._pushed(8)) else self._elsewhere()
        if name in ("leave", "leaveq"):
            return self._copied(MemoryPlace(self._value("rbp"), 8), RegisterPlace("rbp", 8))
        if name.startswith("xchg"):
            return self._exchange(operands, name)
        if name in _TRAPS and isinstance(self._asked, MemoryPlace):
            return Made(NOT_WRITTEN)
        if _PORT.fullmatch(name):
            return Made(INPUT)
        if name in _CPU:
            return Made(FROM_CPU)
        if len(operands) == 2:
            return self._move(name, *operands)
        return self._not_a_move(operands)

    def _move(self, name: str, source: str, target: str) -> Copied | Made:
        if match := _EXTENDING.fullmatch(name):
            size = _SIZES[match["source"] or "l"]
        elif match := _MOVE.fullmatch(name):
            size = _SIZES.get(match["size"] or match["cmov"] or "", 0)
        elif match := _VECTOR.fullmatch(name):
            size = _SINGLE.get(match["single"] or "", 16)
        else:
            return self._not_a_move([target])
        if source.startswith("$"):
            return self._constant(target, size)
        from_place, to_place = self._place(source, size), self._place(target, size)
        if from_place is None or to_place is None:
            return Made(FROM_CPU if _is_register(source) else COMPUTED)
        size = size or min(from_place.size, to_place.size)
        return self._copied(from_place.part(0, min(size, from_place.size)), to_place)

    def _constant(self, target: str, size: int) -> Made:
        place = self._place(target, size)
        return Made(CONSTANT) if place and self._overlap(_whole(place)) else self._elsewhere()

    def _not_a_move(self, operands: list[str]) -> Made:
        """An instruction that is no copy: what it writes to is its last operand, or something that it does not name."""
        target = operands[-1] if operands else ""
        if isinstance(self._asked, MemoryPlace) and _is_register(target):
            return Made(NOT_WRITTEN)
        return Made(COMPUTED)

    def _string(self, verb: str, size: int) -> Copied | Made:
        asked, to_place = self._asked, MemoryPlace(self._value("rdi"), size)
        if verb == "lods":
            return self._copied(MemoryPlace(self._value("rsi"), size), RegisterPlace("rax", size))
        if not isinstance(asked, MemoryPlace):
            return Made(COMPUTED)  # the pointers and the counter
        if verb == "ins":
            return Made(INPUT)
        if verb == "stos":
            return self._copied(RegisterPlace("rax", size), to_place)
        copied = self._copied(MemoryPlace(self._value("rsi"), size), to_place)
        if isinstance(copied, Copied) and copied.target != asked:
            whole = MemoryPlace(self._value("rsi") + asked.address - to_place.address & _MASK, asked.size)
            return replace(copied, whole=whole)
        return copied

    def _stack(self, verb: str, size: int, operand: str) -> Copied | Made:
        if verb == "pop":
            target = self._place(operand, size)
            return self._copied(MemoryPlace(self._value("rsp"), size), target) if target else Made(COMPUTED)
        slot = self._pushed(size)
        if operand.startswith("$"):
            return Made(CONSTANT) if self._overlap(slot) else self._elsewhere()
        source = self._place(operand, size)
        return self._copied(source, slot) if source else Made(COMPUTED)

    def _exchange(self, operands: list[str], name: str) -> Copied | Made:
        size = _SIZES.get(name[4:], 0)
        places = [self._place(operand, size) for operand in operands]
        for source, target in (places, places[::-1]):
            if source and target and self._overlap(target):
                return self._copied(source.part(0, min(source.size, target.size)), target)
        return self._elsewhere()

    def _pushed(self, size: int) -> MemoryPlace:
        """Where the next value goes that is pushed."""
        return MemoryPlace(self._value("rsp") - size & _MASK, size)

    def _elsewhere(self) -> Made:
        """What the instruction moves does not go where was asked: it has done so by the way, or something else has."""
        return Made(NOT_WRITTEN if isinstance(self._asked, MemoryPlace) else COMPUTED)

    def _copied(self, source: Place, target: Place) -> Copied | Made:
        """A copy from ``source`` to ``target``, which may be larger and then is filled with zeros or the sign."""
        common = self._overlap(_whole(target))
        if common is None:
            return self._elsewhere()
        start, size = common
        written = _start(self._asked) + start - _start(target)
        if written >= source.size:
            return Made("filled up with zeros or the sign")
        part = source.part(written, min(size, source.size - written))
        return Copied(part, self._asked.part(start, size))

    def _overlap(self, target: Place) -> tuple[int, int] | None:
        """Which part of the place that was asked about lies in ``target``: from which byte on, and how many."""
        asked = self._asked
        if isinstance(asked, MemoryPlace) != isinstance(target, MemoryPlace):
            return None
        if isinstance(asked, RegisterPlace) and isinstance(target, RegisterPlace) and asked.name != target.name:
            return None
        low = max(_start(asked), _start(target))
        high = min(_start(asked) + asked.size, _start(target) + target.size)
        return (low - _start(asked), high - low) if low < high else None

    def _place(self, operand: str, size: int) -> Place | None:
        if _is_register(operand):
            return register_named(operand[1:], self._registers)
        match = _MEMORY.fullmatch(operand)
        if match is None:
            return None
        address = int(match["displacement"] or "0", 0)
        if match["base"] in ("rip", "eip"):
            address += self._next
        elif match["base"]:
            address += self._value(match["base"])
        if match["index"] and match["index"] not in ("riz", "eiz"):
            address += self._value(match["index"]) * int(match["scale"] or 1)
        if match["segment"] in ("fs", "gs"):
            address += self._registers.get(f"{match['segment']}_base", 0)
        return MemoryPlace(address & _MASK, size or 8)

    def _value(self, name: str) -> int:
        place = register_named(name, self._registers)
        if place is None:
            return 0
        return self._registers[place.name] >> 8 * place.offset & ((1 << 8 * place.size) - 1)

    @staticmethod
    def _is_vector(operands: list[str]) -> bool:
        return any(operand.startswith(("%xmm", "%ymm")) for operand in operands)


def _is_register(operand: str) -> bool:
    """True unless ``operand`` is a constant or in memory, for which a segment register may stand in front."""
    return operand.startswith("%") and ":" not in operand


def _whole(target: Place) -> Place:
    """What is written if ``target`` is: a write to the lower half of a register clears the upper one."""
    if isinstance(target, RegisterPlace) and target.size == 4 and target.offset == 0:
        return replace(target, size=8)
    return target


def _start(place: Place) -> int:
    return place.address if isinstance(place, MemoryPlace) else place.offset


def _operands(text: str) -> list[str]:
    """The operands in ``text``, which commas outside of brackets part."""
    parts = re.split(r",\s*(?![^(]*\))", text.partition(" #")[0].strip())
    return [part.strip() for part in parts]
