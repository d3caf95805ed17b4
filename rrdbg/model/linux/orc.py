"""ORC, the table by which an x86-64 kernel unwinds its own stack, made into what a debugger unwinds by.

Kernels have neither frame pointers nor CFI in their memory, and without these GDB guesses frames. An ORC entry says of
the code from its address on where the caller's frame is (arch/x86/include/asm/orc_types.h); DWARF's call frame
information says the same in other words. Where the kernel does not know, the stack ends; so it does where a program
has called the kernel, whose stack is another one.

A vmlinux has such information of functions that were compiled, and of more registers. But nothing there is right where
the stack is switched, as an interrupt does, and in assembly nothing is said at all. So functions that do so come first
in what is made here (:func:`switching_part`): a debugger is given these before the vmlinux, and all behind it.
"""

from __future__ import annotations

import itertools
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

_ENTRY = struct.Struct("<hhH")
_IP = struct.Struct("<i")
_MOST_ENTRIES = 2_000_000
_MOST_LENGTH = 1 << 22
"""Bytes of code that one description is made for at most."""

_PREV_SP = 1
_REGISTERS = {2: 1, 3: 5, 4: 6, 5: 7, 6: 10, 7: 13}
"""DWARF's numbers of rdx, rdi, rbp, rsp, r10 and r13 by ORC's."""

_BP_INDIRECT, _SP_INDIRECT = 8, 9
_RBP, _RSP, _RIP = 6, 7, 16
_IP_IN_REGS, _SP_IN_REGS = 128, 152
_IN_REGS = {
    15: 0,
    14: 8,
    13: 16,
    12: 24,
    6: 32,
    3: 40,
    11: 48,
    10: 56,
    9: 64,
    8: 72,
    0: 80,
    2: 88,
    1: 96,
    4: 104,
    5: 112,
}
"""Where registers lie in the kernel's struct pt_regs, by DWARF's numbers."""

_CFA_OFFSET, _CFA_SAME, _CFA_UNDEFINED, _CFA_DEF, _CFA_DEF_EXPRESSION, _CFA_EXPRESSION = (
    0x80,
    0x08,
    0x07,
    0x0C,
    0x0F,
    0x10,
)
_BREG, _PLUS_CONSTANT, _DEREF = 0x70, 0x23, 0x06
_END = bytes([_CFA_DEF, _RSP, 8, _CFA_UNDEFINED, _RIP])
"""There is no caller, or none that can be found. GDB ends itself at a frame that begins nowhere."""

_CIE_ID = 0xFFFF_FFFF
_COMMON = b"\x01\x00\x01\x78\x10"
_HEAD = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class OrcForm:
    """How the types of entries are numbered: Linux 6.4 has put two in front, and given them a bit more."""

    call: int
    registers: int
    partial: int
    bits: int


OLD_FORM, NEW_FORM = OrcForm(0, 1, 2, 2), OrcForm(2, 3, 4, 3)


def frames_from_orc(
    places: bytes,
    places_at: int,
    entries: bytes,
    form: OrcForm,
    functions: Sequence[tuple[int, int]],
    outermost: Collection[int] = (),
) -> bytes:
    """A ``.debug_frame`` for ``functions``, each from an address up to another; programs enter at the ``outermost``.

    ``places`` is the table of addresses, which lies at ``places_at``, and ``entries`` what is said of each; empty if
    they do not fit each other.
    """
    count = len(places) // _IP.size
    if not count or count > _MOST_ENTRIES or len(entries) != count * _ENTRY.size:
        return b""
    addresses = [places_at + _IP.size * number + value for number, (value,) in enumerate(_IP.iter_unpack(places))]
    if any(after < before for before, after in itertools.pairwise(addresses)):
        return b""
    said = list(_ENTRY.iter_unpack(entries))
    common = _entry(_CIE_ID, _COMMON)
    switching, others = bytearray(common), bytearray(common)
    for start, end in functions:
        if not 0 < end - start <= _MOST_LENGTH:
            continue
        first, last = bisect_right(addresses, start) - 1, bisect_left(addresses, end)
        if first < 0:
            continue
        body = bytearray(struct.pack("<QQ", start, end - start))
        here, before, switches = start, b"", False
        for number in range(first, last):
            rules, switched = _rules(*said[number], form, start in outermost)
            switches |= switched
            if rules == before:
                continue
            body += _advance(max(addresses[number], start) - here) + rules
            here, before = max(addresses[number], start), rules
        made = switching if switches else others
        made += _entry(0, bytes(body))
    return bytes(switching + others)


def switching_part(frames: bytes) -> bytes:
    """Of what :func:`frames_from_orc` has made, that which is of functions that switch the stack; empty if none is."""
    place = 0
    while place + _HEAD.size <= len(frames):
        length, identity = _HEAD.unpack_from(frames, place)
        if place and identity == _CIE_ID:
            return frames[:place] if place > len(_entry(_CIE_ID, _COMMON)) else b""
        place += length + 4
    return b""


@lru_cache(maxsize=4096)
def _rules(sp_offset: int, bp_offset: int, bits: int, form: OrcForm, outermost: bool) -> tuple[bytes, bool]:
    """Where the caller's stack pointer, return address and rbp are found, and whether that is on another stack."""
    register, bp_register, kind = bits & 15, bits >> 4 & 15, bits >> 8 & (1 << form.bits) - 1
    base = _REGISTERS.get(register)
    if kind == form.call:
        if base is not None and sp_offset >= 0:
            cfa, switches = bytes([_CFA_DEF, base]) + _uleb(sp_offset), False
        elif register == _BP_INDIRECT:
            cfa, switches = _cfa_expression(bytes([_BREG + _RBP]) + _sleb(sp_offset) + bytes([_DEREF])), True
        elif register == _SP_INDIRECT and sp_offset >= 0:
            # On a stack of its own, where the other one's pointer lies on top.
            place = bytes([_BREG + _RSP, 0, _DEREF, _PLUS_CONSTANT]) + _uleb(sp_offset)
            cfa, switches = _cfa_expression(place), True
        else:
            return _END, False
        saved = bp_register == _PREV_SP and bp_offset < 0 and bp_offset % 8 == 0
        rbp = bytes([_CFA_OFFSET | _RBP]) + _uleb(-bp_offset // 8) if saved else bytes([_CFA_SAME, _RBP])
        return cfa + bytes([_CFA_OFFSET | _RIP, 1]) + rbp, switches
    if base is None or kind not in (form.registers, form.partial):
        return _END, False
    if outermost:
        return _END, True
    # The registers of what was interrupted lie there, its stack pointer among them, or the last few of them.
    whole = kind == form.registers
    ip, sp = (_IP_IN_REGS, _SP_IN_REGS) if whole else (0, _SP_IN_REGS - _IP_IN_REGS)
    others = b"".join(
        _saved_at(number, base, sp_offset + place) if whole else bytes([_CFA_SAME, number])
        for number, place in _IN_REGS.items()
    )
    place = bytes([_BREG + base]) + _sleb(sp_offset + sp) + bytes([_DEREF])
    return _cfa_expression(place) + _saved_at(_RIP, base, sp_offset + ip) + others, True


def _cfa_expression(code: bytes) -> bytes:
    return bytes([_CFA_DEF_EXPRESSION]) + _uleb(len(code)) + code


def _saved_at(register: int, base: int, offset: int) -> bytes:
    place = bytes([_BREG + base]) + _sleb(offset)
    return bytes([_CFA_EXPRESSION, register]) + _uleb(len(place)) + place


def _advance(distance: int) -> bytes:
    if distance < 64:
        return bytes([0x40 | distance]) if distance else b""
    for code, size in ((2, 1), (3, 2), (4, 4)):
        if distance < 1 << 8 * size:
            return bytes([code]) + distance.to_bytes(size, "little")
    raise ValueError(distance)


def _entry(identity: int, body: bytes) -> bytes:
    body += bytes(-(len(body) + 8) % 8)
    return struct.pack("<II", len(body) + 4, identity) + body


def _uleb(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _sleb(value: int) -> bytes:
    made = bytearray()
    while not -0x40 <= value < 0x40:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value & 0x7F])
