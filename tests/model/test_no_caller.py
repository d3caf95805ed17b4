"""What to do where GDB finds no caller, by architecture as GDB and as QEMU calls it."""

from __future__ import annotations

import pytest

from rrdbg.model.program.no_caller import way_out


@pytest.mark.parametrize(
    "architecture",
    ["i8086", "i386", "i386:x86-64", "x86_64", "arm", "armv6s-m", "aarch64", "riscv:rv64", "riscv32", "powerpc:common"],
)
def test_a_command_of_ours_returns(architecture: str) -> None:
    said = "GDB finds no caller here; 'rrdbg finish' returns to it by the stack pointer."
    assert way_out(architecture, "rrdbg finish") == said


@pytest.mark.parametrize(
    ("architecture", "register"), [("mips:isa32r2", "ra"), ("s390x", "r14"), ("s390:64-bit", "r14")]
)
def test_elsewhere_a_call_leaves_the_address_in_a_register(architecture: str, register: str) -> None:
    said = way_out(architecture, "rrdbg finish")
    assert said == f"GDB finds no caller here; where a function has just begun, 'until *${register}' returns to it."


def test_of_others_nothing_is_known() -> None:
    assert way_out("sparc", "finish") == ""
