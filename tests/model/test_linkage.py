"""Which instructions return, as assemblers write them."""

from __future__ import annotations

import pytest

from rrdbg.model.program.linkage import follows, is_call, linkage_of

A32, THUMB, M = {"cpsr": 0x13}, {"cpsr": 0x33}, {"xpsr": 0x0100_0000}


@pytest.mark.parametrize(
    ("architecture", "code", "registers", "returns"),
    [
        ("arm", "1eff2fe1", A32, True),  # bx lr
        ("arm", "1eff2f01", A32, True),  # bxeq lr
        ("arm", "0ef0a0e1", A32, True),  # mov pc, lr
        ("arm", "1080bde8", A32, True),  # pop {r4, pc}
        ("arm", "04f09de4", A32, True),  # pop {pc}
        ("arm", "1000bde8", A32, False),  # pop {r4}
        ("arm", "10402de9", A32, False),  # push {r4, lr}
        ("arm", "feffffeb", A32, False),  # bl
        ("arm", "7047c046", THUMB, True),  # bx lr
        ("arm", "7047c046", M, True),
        ("arm", "f746c046", M, True),  # mov pc, lr
        ("arm", "10bdc046", M, True),  # pop {r4, pc}
        ("arm", "10bcc046", M, False),  # pop {r4}
        ("arm", "bde8f083", M, True),  # pop.w {r4-r9, pc}
        ("arm", "bde8f003", M, False),  # pop.w {r4-r9}
        ("arm", "5df804fb", M, True),  # pop.w {pc}
        ("arm", "1eff2fe1", M, False),  # bx lr of A32
        ("aarch64", "c0035fd6", {}, True),  # ret
        ("aarch64", "00015fd6", {}, True),  # ret x8
        ("aarch64", "ff0b5fd6", {}, True),  # retaa
        ("aarch64", "00001fd6", {}, False),  # br x0
        ("riscv64", "67800000", {}, True),  # ret
        ("riscv64", "82800100", {}, True),  # c.ret
        ("riscv32", "67800200", {}, False),  # jr t0
        ("ppc", "4e800020", {}, True),  # blr
        ("ppc", "4d820020", {}, True),  # beqlr
        ("ppc", "4e800021", {}, False),  # blrl
    ],
)
def test_returns(architecture: str, code: str, registers: dict[str, int], *, returns: bool) -> None:
    linkage = linkage_of(architecture)
    assert linkage
    assert linkage.is_return(bytes.fromhex(code), registers) is returns


def test_others_call_by_the_stack_or_are_not_known() -> None:
    assert linkage_of("x86_64") is None
    assert linkage_of("s390x") is None


def test_calls() -> None:
    assert is_call(0x100, 0x900, 0x104)
    assert is_call(0x100, 0x900, 0x103), "T32, and 16 bits long"
    assert not is_call(0x100, 0x900, 0x804)
    assert not is_call(0x100, 0x104, 0x104), "only the address is wanted"
    assert follows(0x100, 0x102)
    assert not follows(0x100, 0x900)


def test_the_mode_of_an_exception_is_another_one() -> None:
    linkage = linkage_of("arm")
    assert linkage
    assert linkage.mode({"cpsr": 0x8000_0013}) == linkage.mode({"cpsr": 0x33}) != linkage.mode({"cpsr": 0x12})
    assert linkage.mode({"xpsr": 0x6100_0000}) == linkage.mode(M) != linkage.mode({"xpsr": 0x0100_000F})
