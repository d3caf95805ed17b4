"""Call frame information: what is said is followed, and nothing that a file says leads astray."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.program.call_frames import CONVENTIONS, CallFrames, stack

_X86 = CONVENTIONS["x86_64"]
_MEMORY = {0x8000: 0x2222, 0x8008: 0x3333, 0x9000: 0x9100, 0x9008: 0x4444, 0x9100: 0, 0x9108: 0}


def entry(identity: int, body: bytes) -> bytes:
    return struct.pack("<II", len(body) + 4, identity) + body


def section(program: bytes, start: int = 0x1000, size: int = 0x100) -> bytes:
    """One description: the CFA is rsp + 8 at first, and the return address right below it."""
    common = b"\x01\x00\x01\x78\x10" + b"\x0c\x07\x08" + b"\x90\x01"
    return entry(0xFFFF_FFFF, common) + entry(0, struct.pack("<QQ", start, size) + program)


def test_a_function_that_has_pushed_a_register() -> None:
    # From its second byte on rbp lies on the stack: the CFA is rsp + 16 there, and rbp was at CFA - 16.
    frames = CallFrames(section(b"\x41\x0e\x10\x86\x02"))
    registers = {7: 0x8000, 6: 0x7777}
    assert frames.caller(0x1000, registers, 7, _MEMORY.get) == (0x2222, {7: 0x8008, 6: 0x7777, 16: 0x2222})
    assert frames.caller(0x1001, registers, 7, _MEMORY.get) == (0x3333, {7: 0x8010, 6: 0x2222, 16: 0x3333})
    assert frames.caller(0x1100, registers, 7, _MEMORY.get) is None


def test_what_is_kept_comes_back() -> None:
    # remember, pushed, restored
    frames = CallFrames(section(b"\x0a\x41\x0e\x10\x86\x02\x41\x0b"))
    registers = {7: 0x8000, 6: 0x7777}
    assert frames.caller(0x1002, registers, 7, _MEMORY.get) == frames.caller(0x1000, registers, 7, _MEMORY.get)


def test_frame_pointers_lead_on_where_nothing_is_said() -> None:
    registers = {"rsp": 0x8FF0, "rbp": 0x9000}
    assert stack(None, _X86, 0x5000, registers, _MEMORY.get, 8) == (0x5000, 0x4444)
    assert stack(None, _X86, 0x5000, {"rsp": 0x9008, "rbp": 0x9000}, _MEMORY.get, 8) == (0x5000,)


@given(st.binary(max_size=200), st.integers(0, (1 << 64) - 1))
def test_any_section_is_read_to_an_end(data: bytes, memory: int) -> None:
    for content in (data, section(data)):
        frames = CallFrames(content)
        registers = dict.fromkeys(_X86.numbers, memory)
        assert 0 < len(stack(frames, _X86, 0x1004, registers, lambda _: memory, 64)) <= 64
