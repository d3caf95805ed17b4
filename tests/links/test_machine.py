"""What a machine reads out of the monitor's texts."""

from __future__ import annotations

from rrdbg.links.machine import read_disassembly
from rrdbg.links.registers import register_file

PRINTED = """\
0x00001000:  66 67 81 84 24 11 22 33  addl     $0x88776655, 0x44332211(%esp)\r
0x00001008:  44 55 66 77 88\r
0x0000100d:  90                       nop      \r
0x0000100e:  66 67 89 84 24 11 22 33  movl     %eax, 0x44332211(%esp)\r
0x00001016:  44\r
0x00001017:  f4                       hlt      \r
"""


def test_the_second_line_of_a_long_instruction_is_no_instruction() -> None:
    assert read_disassembly(PRINTED) == [
        (0x1000, "addl $0x88776655, 0x44332211(%esp)"),
        (0x100D, "nop"),
        (0x100E, "movl %eax, 0x44332211(%esp)"),
        (0x1017, "hlt"),
    ]


def test_f8_the_program_counter_of_s390x_is_half_of_its_status_word() -> None:
    document = '<reg name="pswm" bitsize="64"/><reg name="pswa" bitsize="64"/><reg name="r0" bitsize="64"/>'
    file = register_file("s390:64-bit", {"target.xml": f"<target>{document}</target>"})
    packet = b"0000000180000000" + b"0000000000010004" + b"00" * 8
    assert file.value(packet, file.pc) == 0x10004


def test_words_of_four_bytes() -> None:
    assert read_disassembly("0x40080000:  d10043ff  sub      sp, sp, #0x10\r\n") == [(0x40080000, "sub sp, sp, #0x10")]
