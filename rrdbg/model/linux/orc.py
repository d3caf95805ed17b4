"""ORC, the table by which an x86-64 kernel unwinds its own stack, made into what a debugger unwinds by.

Kernels have neither frame pointers nor CFI in their memory, and without these GDB guesses frames. An ORC entry says of
the code from its address on where the caller's frame is (arch/x86/include/asm/orc_types.h); DWARF's call frame
information says the same in other words. Where the kernel does not know, the stack ends.
"""

from __future__ import annotations

import itertools
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
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
_BP_IN_REGS, _IP_IN_REGS, _SP_IN_REGS = 32, 128, 152
"""Where these lie in the kernel's struct pt_regs."""

_CFA_OFFSET, _CFA_SAME, _CFA_UNDEFINED, _CFA_DEF, _CFA_DEF_EXPRESSION, _CFA_EXPRESSION = (
    0x80,
    0x08,
    0x07,
    0x0C,
    0x0F,
    0x10,
)
_BREG, _PLUS_CONSTANT, _DEREF = 0x70, 0x23, 0x06
_END = bytes([_CFA_UNDEFINED, _RIP])
"""There is no caller, or none that can be found."""

_CIE_ID = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class OrcForm:
    """How the types of entries are numbered: Linux 6.4 has put two in front, and given them a bit more."""

    call: int
    registers: int
    partial: int
    bits: int


OLD_FORM, NEW_FORM = OrcForm(0, 1, 2, 2), OrcForm(2, 3, 4, 3)


def frames_from_orc(
    places: bytes, places_at: int, entries: bytes, form: OrcForm, functions: Sequence[tuple[int, int]]
) -> bytes:
    """A ``.debug_frame`` for ``functions``, each from an address up to another.

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
    made = bytearray(_entry(_CIE_ID, b"\x01\x00\x01\x78\x10"))
    for start, end in functions:
        if not 0 < end - start <= _MOST_LENGTH:
            continue
        first, last = bisect_right(addresses, start) - 1, bisect_left(addresses, end)
        if first < 0:
            continue
        body = bytearray(struct.pack("<QQ", start, end - start))
        here, before = start, b""
        for number in range(first, last):
            rules = _rules(*said[number], form)
            if rules == before:
                continue
            body += _advance(max(addresses[number], start) - here) + rules
            here, before = max(addresses[number], start), rules
        made += _entry(0, bytes(body))
    return bytes(made)


@lru_cache(maxsize=4096)
def _rules(sp_offset: int, bp_offset: int, bits: int, form: OrcForm) -> bytes:
    """Where the caller's stack pointer, return address and rbp are found."""
    register, bp_register, kind = bits & 15, bits >> 4 & 15, bits >> 8 & (1 << form.bits) - 1
    base = _REGISTERS.get(register)
    if kind == form.call:
        if base is not None and sp_offset >= 0:
            cfa = bytes([_CFA_DEF, base]) + _uleb(sp_offset)
        elif register == _BP_INDIRECT:
            cfa = _cfa_expression(bytes([_BREG + _RBP]) + _sleb(sp_offset) + bytes([_DEREF]))
        elif register == _SP_INDIRECT and sp_offset >= 0:
            # On a stack of its own, where the other one's pointer lies on top.
            cfa = _cfa_expression(bytes([_BREG + _RSP, 0, _DEREF, _PLUS_CONSTANT]) + _uleb(sp_offset))
        else:
            return _END
        saved = bp_register == _PREV_SP and bp_offset < 0 and bp_offset % 8 == 0
        rbp = bytes([_CFA_OFFSET | _RBP]) + _uleb(-bp_offset // 8) if saved else bytes([_CFA_SAME, _RBP])
        return cfa + bytes([_CFA_OFFSET | _RIP, 1]) + rbp
    if base is None or kind not in (form.registers, form.partial):
        return _END
    # The registers of what was interrupted lie there, its stack pointer among them, or the last few of them.
    ip, sp = (_IP_IN_REGS, _SP_IN_REGS) if kind == form.registers else (0, _SP_IN_REGS - _IP_IN_REGS)
    rbp = _saved_at(_RBP, base, sp_offset + _BP_IN_REGS) if kind == form.registers else bytes([_CFA_SAME, _RBP])
    place = bytes([_BREG + base]) + _sleb(sp_offset + sp) + bytes([_DEREF])
    return _cfa_expression(place) + _saved_at(_RIP, base, sp_offset + ip) + rbp


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
