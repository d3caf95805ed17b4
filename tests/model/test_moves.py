"""Where instructions take from what they put somewhere, by their text."""

from __future__ import annotations

import pytest

from rrdbg.model.program.moves import (
    COMPUTED,
    CONSTANT,
    FROM_CPU,
    INPUT,
    NOT_WRITTEN,
    RETURN_ADDRESS,
    Copied,
    Instruction,
    Made,
    MemoryPlace,
    Place,
    RegisterPlace,
    register_named,
    source_of,
)

REGISTERS = {
    "rax": 0x1122334455667788, "rbx": 0x2000, "rcx": 3, "rdx": 0x3FD, "rsi": 0x5000, "rdi": 0x6000, "rbp": 0x7000,
    "rsp": 0x8000, "rip": 0x1000, "r8": 8, "xmm0": 0, "gs_base": 0xF000, "cs": 8,
}  # fmt: skip

RAX, EAX, AL, AH = (register_named(name, REGISTERS) for name in ("rax", "eax", "al", "ah"))
RBX, RSP = RegisterPlace("rbx", 8), RegisterPlace("rsp", 8)


def memory(address: int, size: int = 8) -> MemoryPlace:
    return MemoryPlace(address, size)


@pytest.mark.parametrize(
    ("text", "asked", "source"),
    [
        ("movq %rax, %rbx", RBX, RAX),
        ("movl %eax, %ebx", RBX, RegisterPlace("rax", 4)),
        ("movl %eax, %ebx", RegisterPlace("rbx", 2, 1), RegisterPlace("rax", 2, 1)),
        ("movb %ah, %bl", RegisterPlace("rbx", 1), RegisterPlace("rax", 1, 1)),
        ("movq 8(%rbx), %rax", RAX, memory(0x2008)),
        ("movq -8(%rbx, %rcx, 4), %rax", RAX, memory(0x2004)),
        ("movq 0x104020(, %rcx, 8), %rax", RAX, memory(0x104038)),
        ("movq 0x20(%rip), %rax", RAX, memory(0x1027)),
        ("movq %gs:0x10, %rax", RAX, memory(0xF010)),
        ("movzbl (%rsi), %eax", RAX, memory(0x5000, 1)),
        ("movzwl %ax, %ebx", RBX, RegisterPlace("rax", 2)),
        ("movslq %eax, %rbx", RBX, RegisterPlace("rax", 4)),
        ("movsbl (%rsi), %eax", RAX, memory(0x5000, 1)),
        ("cmovel %r8d, %eax", RAX, RegisterPlace("r8", 4)),
        ("movq %rax, 0x10(%rdi)", memory(0x6010), RAX),
        ("movq %rax, 0x10(%rdi)", memory(0x6013, 2), RegisterPlace("rax", 2, 3)),
        ("pushq %rbx", memory(0x7FF8), RBX),
        ("popq %rax", RAX, memory(0x8000)),
        ("leave", RegisterPlace("rbp", 8), memory(0x7000)),
        ("rep movsb (%rsi), %es:(%rdi)", memory(0x6000, 1), memory(0x5000, 1)),
        ("rep stosq %rax, %es:(%rdi)", memory(0x6002, 2), RegisterPlace("rax", 2, 2)),
        ("lodsb (%rsi), %al", AL, memory(0x5000, 1)),
        ("xchgq %rax, (%rdi)", memory(0x6000), RAX),
        ("xchgq %rax, (%rdi)", RAX, memory(0x6000)),
        ("movdqu (%rsi), %xmm0", RegisterPlace("xmm0", 16), memory(0x5000, 16)),
        ("movq %xmm0, (%rdi)", memory(0x6000), RegisterPlace("xmm0", 8)),
        ("movabsq %al, 0x123456789", memory(0x123456789, 1), AL),
    ],
)
def test_copies(text: str, asked: Place, source: Place) -> None:
    found = source_of(Instruction(text, 0x1007, REGISTERS), asked)
    assert isinstance(found, Copied)
    assert found.source == source


@pytest.mark.parametrize(
    ("text", "asked", "how"),
    [
        ("movl $5, %eax", RAX, CONSTANT),
        ("movb $0, 0x38(%rdi, %rcx)", memory(0x6038), CONSTANT),
        ("pushq $7", memory(0x7FF8), CONSTANT),
        ("addq $1, %rax", RAX, COMPUTED),
        ("xorl %eax, %eax", RAX, COMPUTED),
        ("leaq 1(%rdi), %rax", RAX, COMPUTED),
        ("lock incl (%rdi)", memory(0x6000, 4), COMPUTED),
        ("andb $0xf7, %ds:(%rdi)", memory(0x6000), COMPUTED),
        ("imulq $3, %rbx, %rax", RAX, COMPUTED),
        ("popq %rax", RSP, COMPUTED),
        ("rep movsb (%rsi), %es:(%rdi)", RegisterPlace("rcx", 8), COMPUTED),
        ("callq 0x2000", memory(0x7FF8), RETURN_ADDRESS),
        ("callq 0x2000", RSP, COMPUTED),
        ("inb %dx, %al", RAX, INPUT),
        ("rep insw %dx, %es:(%rdi)", memory(0x6000), INPUT),
        ("rdtsc", RAX, FROM_CPU),
        ("movq %cr2, %rax", RAX, FROM_CPU),
        ("int $0x80", memory(0x7FF8), NOT_WRITTEN),
        ("movq (%rsi), %rax", memory(0x7FF8), NOT_WRITTEN),
        ("movl %eax, %ebx", RegisterPlace("rbx", 2, 5), "filled up with zeros or the sign"),
    ],
)
def test_no_copies(text: str, asked: Place, how: str) -> None:
    assert source_of(Instruction(text, 0x1007, REGISTERS), asked) == Made(how)


def test_parts() -> None:
    """What is written is told where it is less than what was asked for, and of a string where the whole may be from."""
    found = source_of(Instruction("movb %al, 3(%rdi)", 0, REGISTERS), memory(0x6000))
    assert found == Copied(RegisterPlace("rax", 1), memory(0x6003, 1))
    found = source_of(Instruction("rep movsb (%rsi), %es:(%rdi)", 0, REGISTERS), memory(0x5FF9))
    assert found == Copied(memory(0x5000, 1), memory(0x6000, 1), whole=memory(0x4FF9))
