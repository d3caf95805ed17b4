"""DWARF's call frame information: where a function's caller is found, from its registers and the stack.

A ``.debug_frame`` says of the code from each address on where the frame of the caller begins (the CFA) and where its
registers were kept. GDB knows that, too, but asks the stub anew at each stop, which is too slow for a thousand stacks.
What is said here comes out of a file of somebody's: everything is bounded, and what is not understood ends the stack.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

Read = Callable[[int], int | None]
"""The word at an address; None where that is not known."""

_CIE = 0xFFFF_FFFF
_MOST_STATES = 64
_MOST_OPERATIONS = 1000
_MOST_ENTRIES = 1_000_000
_MOST_BITS = 70
"""Of a number that has any length."""

_MASK = (1 << 64) - 1
_RETURN_OF_EXCEPTION = 0xFFFF_FF00
_FRAME_OF_EXCEPTION = {number: 4 * place for place, number in enumerate((0, 1, 2, 3, 12, 14))}

_OFFSET, _VALUE_OFFSET, _REGISTER, _EXPRESSION, _VALUE_EXPRESSION, _UNDEFINED = range(6)
_Rule = tuple[int, int | bytes]


class _Unclear(Exception):
    """What is said is not understood, or reads what is not known."""


@dataclass(frozen=True, slots=True)
class Convention:
    """How an architecture calls, in DWARF's numbers of registers: by name those that a stack is unwound with.

    ``sp`` and ``fp`` are the stack's and the frame's pointer (-1: compilers do not agree on one); ``link`` holds the
    return address of a function that has not stored it, if there is such a register. By frame pointer the caller's one
    and the return address lie at ``saved`` and ``returning`` bytes from it. ``odd`` tells that the lowest bit of an
    address of code says something else.
    """

    numbers: Mapping[str, int]
    sp: int
    fp: int
    saved: int
    returning: int
    word: int = 8
    link: int | None = None
    odd: bool = False


_I386 = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
_ARM = (*(f"r{number}" for number in range(13)), "sp", "lr")
_X86 = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", *(f"r{number}" for number in range(8, 16)))
_RISCV = (
    *("zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1"),
    *(f"a{number}" for number in range(8)),
    *(f"s{number}" for number in range(2, 12)),
    *(f"t{number}" for number in range(3, 7)),
)
CONVENTIONS = {
    "x86_64": Convention({name: number for number, name in enumerate(_X86)}, 7, 6, 0, 8),
    "aarch64": Convention({**{f"x{number}": number for number in range(31)}, "sp": 31}, 31, 29, 0, 8, link=30),
    "riscv64": Convention({name: number for number, name in enumerate(_RISCV)}, 2, 8, -16, -8, link=1),
    "i386": Convention({f"e{name}": number for number, name in enumerate(_I386)}, 4, 5, 0, 4, word=4),
    "arm": Convention({name: number for number, name in enumerate(_ARM)}, 13, -1, 0, 0, word=4, link=14, odd=True),
    "riscv32": Convention({name: number for number, name in enumerate(_RISCV)}, 2, 8, -8, -4, word=4, link=1),
}
"""By QEMU's name of the architecture."""

I386_ON_X86_64 = replace(CONVENTIONS["i386"], numbers={f"r{name}": number for number, name in enumerate(_I386)})
"""32-bit code on a CPU whose registers have 64 bits."""


@dataclass(slots=True)
class _State:
    cfa: _Rule = (_UNDEFINED, 0)
    cfa_register: int = 0
    rules: dict[int, _Rule] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(self.cfa, self.cfa_register, dict(self.rules))


@dataclass(frozen=True, slots=True)
class _Common:
    code: int
    data: int
    returning: int
    program: bytes


@dataclass(frozen=True, slots=True)
class _Described:
    start: int
    end: int
    common: _Common
    program: bytes


class CallFrames:
    """The content of a ``.debug_frame`` for a little-endian machine with words of ``word`` bytes."""

    def __init__(self, section: bytes, word: int = 8) -> None:
        self.word = word
        described = sorted(_entries(section, word), key=lambda each: each.start)
        self._described = described
        self._starts = [each.start for each in described]

    def caller(self, pc: int, registers: Mapping[int, int], sp: int, read: Read) -> tuple[int, dict[int, int]] | None:
        """Where the function at ``pc`` was called from, and the registers there; None where nothing is said of that.

        ``registers`` are by DWARF's numbers, ``sp`` is that of the stack pointer. Where there is no caller the address
        is 0.
        """
        found = self._of(pc)
        if found is None:
            return None
        try:
            state = _state_at(found, pc, self.word)
            return _unwound(state, found.common.returning, registers, sp, read, (1 << 8 * self.word) - 1)
        except (_Unclear, IndexError):
            return 0, {}

    def are_of_one(self, pc: int, other: int) -> bool:
        """Whether two addresses are of one function."""
        found = self._of(pc)
        return found is not None and found.start <= other < found.end

    def _of(self, pc: int) -> _Described | None:
        index = bisect_right(self._starts, pc) - 1
        return self._described[index] if index >= 0 and pc < self._described[index].end else None


def stack(
    frames: CallFrames | None, convention: Convention, pc: int, registers: Mapping[str, int], read: Read, most: int
) -> tuple[int, ...]:
    """The addresses of the frames at ``pc``, the innermost first: by ``frames``, and else by the frame pointer.

    At most ``most``. A caller's address is where its call returns to; that of a handler is where its exception came.
    """
    mask = (1 << 8 * convention.word) - 1
    known = {number: registers[name] & mask for name, number in convention.numbers.items() if name in registers}
    described = frames if frames and frames.word == convention.word else None
    found, here, at_rest = [pc], pc, True
    while len(found) < most:
        below = known.get(convention.sp, 0)
        above = described.caller(here, known, convention.sp, read) if described else None
        if above is None:
            above = _by_pointer(convention, known, read)
        back, known = above
        interrupted = convention.odd and back >= _RETURN_OF_EXCEPTION
        if interrupted:
            below = 0  # it may have another stack
            back, known = _before_exception(back, known, registers.get("psp"), read)
        elif convention.odd:
            back &= ~1
        top = known.get(convention.sp, 0)
        # Only what calls nothing can do without a place on the stack, and then is not called by itself.
        still = top == below and (not at_rest or (described is not None and described.are_of_one(here, back)))
        if not back or top < below or still:
            break
        found.append(back)
        # The call lies before it; the function may have ended with it.
        here, at_rest = (back, True) if interrupted else (back - 1, False)
    return tuple(found)


def _before_exception(
    returns: int, known: Mapping[int, int], process: int | None, read: Read
) -> tuple[int, dict[int, int]]:
    """Where a Cortex-M's exception came, whose handler goes back by the value ``returns``, and the registers then.

    The CPU has put them on the stack in use there: the ``process`` one, where QEMU tells that, or the main one.
    """
    top = process if returns & 4 else known.get(13)
    back = None if top is None else read(top + 24)
    status = None if top is None else read(top + 28)
    if top is None or back is None or status is None:
        return 0, {}
    restored = {number: read(top + place) for number, place in _FRAME_OF_EXCEPTION.items()}
    size = (0x20 if returns & 0x10 else 0x68) + (4 if status & 1 << 9 else 0)
    registers = {number: value for number, value in restored.items() if value is not None}
    return back & ~1, {**known, **registers, 13: top + size}


def _by_pointer(convention: Convention, known: Mapping[int, int], read: Read) -> tuple[int, dict[int, int]]:
    frame = known.get(convention.fp, 0)
    # A frame lies above what is on the stack now, and not far.
    if not 0 <= frame - known.get(convention.sp, 0) < 1 << 20:
        return 0, {}
    saved, back = read(frame + convention.saved), read(frame + convention.returning)
    top = frame + max(convention.saved, convention.returning) + convention.word
    return (back or 0), {**known, convention.fp: saved or 0, convention.sp: top}


def _unwound(
    state: _State, returning: int, registers: Mapping[int, int], sp: int, read: Read, mask: int
) -> tuple[int, dict[int, int]]:
    kind, value = state.cfa
    if kind == _EXPRESSION and isinstance(value, bytes):
        cfa = _evaluate(value, registers, read, None, mask)
    elif kind == _OFFSET and isinstance(value, int) and state.cfa_register in registers:
        cfa = registers[state.cfa_register] + value & mask
    else:
        raise _Unclear
    above = {**registers, sp: cfa}
    back = registers.get(returning)
    for number, rule in state.rules.items():
        found = _restored(rule, cfa, registers, read, mask)
        if number == returning:
            back = found
        if found is None:
            above.pop(number, None)
        else:
            above[number] = found
    return back or 0, above


def _restored(rule: _Rule, cfa: int, registers: Mapping[int, int], read: Read, mask: int) -> int | None:
    match rule:
        case (kind, int(offset)) if kind == _OFFSET:
            return read(cfa + offset & mask)
        case (kind, int(offset)) if kind == _VALUE_OFFSET:
            return cfa + offset & mask
        case (kind, int(number)) if kind == _REGISTER:
            return registers.get(number)
        case (kind, bytes(program)) if kind == _EXPRESSION:
            return read(_evaluate(program, registers, read, cfa, mask))
        case (kind, bytes(program)) if kind == _VALUE_EXPRESSION:
            return _evaluate(program, registers, read, cfa, mask)
    return None


class _Reader:
    """Reads the numbers in a piece of the section."""

    def __init__(self, data: bytes, place: int = 0) -> None:
        self.data = data
        self.place = place

    @property
    def left(self) -> bool:
        return self.place < len(self.data)

    def number(self, size: int, *, signed: bool = False) -> int:
        found = self.take(size)
        return int.from_bytes(found, "little", signed=signed)

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.place:
            raise IndexError(self.place)
        self.place += size
        return self.data[self.place - size : self.place]

    def uleb(self) -> int:
        return self._leb()[0] & _MASK

    def sleb(self) -> int:
        value, shift = self._leb()
        return value - (1 << shift) if value >> (shift - 1) else value

    def _leb(self) -> tuple[int, int]:
        """The bits that come next, seven a byte, and how many they are."""
        value, shift = 0, 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > _MOST_BITS:
                raise IndexError(self.place)
            if byte < 0x80:
                return value, shift

    def block(self) -> bytes:
        return self.take(self.uleb())


def _entries(section: bytes, word: int) -> list[_Described]:
    found: list[_Described] = []
    commons: dict[int, _Common] = {}
    reader = _Reader(section)
    try:
        while reader.left and len(found) < _MOST_ENTRIES:
            start = reader.place
            length = reader.number(4)
            if length >= 0xFFFF_FFF0:
                break  # 64-bit DWARF: nothing that we know writes that here
            body = _Reader(reader.take(length))
            if not length:
                continue
            common = body.number(4)
            if common == _CIE:
                if made := _common(body):
                    commons[start] = made
            elif common in commons:
                low, size = body.number(word), body.number(word)
                if size:
                    found.append(_Described(low, low + size, commons[common], body.data[body.place :]))
    except IndexError:
        pass  # it is cut off: what came before holds
    return found


def _common(body: _Reader) -> _Common | None:
    version = body.number(1)
    augmented = body.data[body.place :].partition(b"\0")[0]
    body.place += len(augmented) + 1
    if version not in (1, 3, 4) or augmented:
        return None
    if version == 4:
        body.number(2)  # the sizes of an address and of a segment
    code, data = body.uleb(), body.sleb()
    returning = body.number(1) if version == 1 else body.uleb()
    return _Common(code, data, returning, body.data[body.place :])


def _state_at(described: _Described, pc: int, word: int) -> _State:
    first = _State()
    _run(described.common, described.common.program, first, None, 0, None, word)
    state = first.copy()
    _run(described.common, described.program, state, first, described.start, pc, word)
    return state


def _run(
    common: _Common, program: bytes, state: _State, first: _State | None, here: int, pc: int | None, word: int
) -> None:
    """Let ``program`` change ``state`` up to ``pc``."""
    reader, kept = _Reader(program), list[_State]()
    while reader.left:
        code = reader.number(1)
        high, low = code & 0xC0, code & 0x3F
        if high == 0x40 or code in (1, 2, 3, 4):
            if code == 1:
                here = reader.number(word)
            else:
                here += common.code * (low if high else reader.number(1 << code - 2))
            if pc is not None and here > pc:
                return
        elif high == 0x80:
            state.rules[low] = (_OFFSET, reader.uleb() * common.data)
        elif high == 0xC0 or code == 0x06:
            _restore(state, first, low if high else reader.uleb())
        elif code == 0x0A:
            if len(kept) >= _MOST_STATES:
                raise _Unclear
            kept.append(state.copy())
        elif code == 0x0B:
            last = kept.pop()
            state.cfa, state.cfa_register, state.rules = last.cfa, last.cfa_register, last.rules
        else:
            _define(common, reader, state, code)


def _restore(state: _State, first: _State | None, number: int) -> None:
    if first and number in first.rules:
        state.rules[number] = first.rules[number]
    else:
        state.rules.pop(number, None)


def _define(common: _Common, reader: _Reader, state: _State, code: int) -> None:
    """All instructions that have nothing to do with others."""
    number = reader.uleb() if code in _OF_A_REGISTER else 0
    match code:
        case 0x00 | 0x2D:  # nothing; an address that is signed, which QEMU's memory shows as it is
            pass
        case 0x05:
            state.rules[number] = (_OFFSET, reader.uleb() * common.data)
        case 0x07:
            state.rules[number] = (_UNDEFINED, 0)
        case 0x08:
            state.rules.pop(number, None)
        case 0x09:
            state.rules[number] = (_REGISTER, reader.uleb())
        case 0x0C:
            state.cfa_register, state.cfa = number, (_OFFSET, reader.uleb())
        case 0x0D:
            state.cfa_register = number
        case 0x0E:
            state.cfa = (_OFFSET, reader.uleb())
        case 0x0F:
            state.cfa = (_EXPRESSION, reader.block())
        case 0x10:
            state.rules[number] = (_EXPRESSION, reader.block())
        case 0x11:
            state.rules[number] = (_OFFSET, reader.sleb() * common.data)
        case 0x12:
            state.cfa_register, state.cfa = number, (_OFFSET, reader.sleb() * common.data)
        case 0x13:
            state.cfa = (_OFFSET, reader.sleb() * common.data)
        case 0x14:
            state.rules[number] = (_VALUE_OFFSET, reader.uleb() * common.data)
        case 0x15:
            state.rules[number] = (_VALUE_OFFSET, reader.sleb() * common.data)
        case 0x16:
            state.rules[number] = (_VALUE_EXPRESSION, reader.block())
        case 0x2E:
            reader.uleb()
        case _:
            raise _Unclear


_OF_A_REGISTER = frozenset((0x05, 0x07, 0x08, 0x09, 0x0C, 0x0D, 0x10, 0x11, 0x12, 0x14, 0x15, 0x16))
_CONSTANTS = {8: (1, False), 9: (1, True), 10: (2, False), 11: (2, True), 12: (4, False), 13: (4, True), 14: (8, False)}


def _evaluate(program: bytes, registers: Mapping[int, int], read: Read, first: int | None, mask: int) -> int:
    """The value of a DWARF expression: what compilers and kernels say of stacks, and no more."""
    reader, values = _Reader(program), [] if first is None else [first]
    for _ in range(_MOST_OPERATIONS):
        if not reader.left:
            return values[-1] & mask
        code = reader.number(1)
        if 0x70 <= code <= 0x8F:
            if code - 0x70 not in registers:
                raise _Unclear
            values.append(registers[code - 0x70] + reader.sleb())
        elif 0x30 <= code <= 0x4F:
            values.append(code - 0x30)
        elif code in _CONSTANTS:
            size, signed = _CONSTANTS[code]
            values.append(reader.number(size, signed=signed))
        elif code in (0x10, 0x11):
            values.append(reader.uleb() if code == 0x10 else reader.sleb())
        elif code == 0x06:
            word = read(values.pop() & mask)
            if word is None:
                raise _Unclear
            values.append(word)
        elif code == 0x12:
            values.append(values[-1])
        elif code == 0x23:
            values.append(values.pop() + reader.uleb())
        else:
            right, left = values.pop(), values.pop()
            values.append(_binary(code, left, right))
    raise _Unclear


def _binary(code: int, left: int, right: int) -> int:
    match code:
        case 0x1A:
            return left & right
        case 0x1C:
            return left - right
        case 0x22:
            return left + right
        case 0x24:
            return left << (right & 63) & _MASK
        case 0x2A:
            return int(left >= right)
    raise _Unclear
