"""Where instructions take from what they put somewhere, on each architecture, by code that its assembler has made."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.program.decoding.choice import decoder_for
from rrdbg.model.program.decoding.decoder import Decoder, Instruction
from rrdbg.model.program.moves import (
    COMPUTED,
    CONSTANT,
    FILLED_UP,
    FROM_CPU,
    INPUT,
    NOT_WRITTEN,
    RETURN_ADDRESS,
    Copied,
    Made,
    MemoryPlace,
    Move,
    Place,
    RegisterPlace,
    source_of,
)
from tests.guests.build import run_tool

ADDRESS = 0x1000
_ROOM = 16
"""Bytes that each instruction has, filled up with others."""


@dataclass(frozen=True)
class Cpu:
    """How code is assembled, the registers of the CPU with their sizes, and what is in them."""

    tools: str
    options: Sequence[str]
    before: str
    sizes: Mapping[str, int]
    registers: Mapping[str, int]
    mode: CodeMode | None = None

    @property
    def decoder(self) -> Decoder:
        return decoder_for(self.sizes, little_endian=True)


_X86 = {
    "rax": 0x1122334455667788, "rbx": 0x2000, "rcx": 3, "rdx": 0x3FD, "rsi": 0x5000, "rdi": 0x6000, "rbp": 0x7000,
    "rsp": 0x8000, "rip": ADDRESS, "r8": 8,
}  # fmt: skip
_X86_OTHERS = {"xmm0": 16, "cs": 4, "ds": 4, "es": 4, "ss": 4, "eflags": 4, "gs_base": 8}
_X86_MORE = {"gs_base": 0xF000, "ds_base": 0x1_0000, "ss_base": 0x2_0000, "es_base": 0x3_0000, "eflags": 1 << 6}
_ARM = {f"r{number}": 0x100 * number for number in range(13)} | {"sp": 0x8000, "lr": 0x777, "pc": ADDRESS}
_A64 = {f"x{number}": 0x100 * number for number in range(31)} | {"sp": 0x8000, "pc": ADDRESS}
_RISCV = {
    "zero": 0, "ra": 0x777, "sp": 0x8000, "gp": 0, "tp": 0, "fp": 0x7000, "s1": 0x7100, "t0": 1, "a0": 0x100,
    "a1": 0x200, "a2": 0x300, "pc": ADDRESS,
}  # fmt: skip
_ZERO = 1 << 30

CPUS = {
    "x86_64": Cpu("", ("--64",), "", dict.fromkeys(_X86, 8) | _X86_OTHERS, _X86 | _X86_MORE, CodeMode.BITS64),
    "x86_32": Cpu("", ("--32",), "", dict.fromkeys(_X86, 8) | _X86_OTHERS, _X86 | _X86_MORE, CodeMode.BITS32),
    "x86_16": Cpu("", ("--32",), ".code16", dict.fromkeys(_X86, 8) | _X86_OTHERS, _X86 | _X86_MORE, CodeMode.BITS16),
    "a32": Cpu(
        "arm-none-eabi-", ("-mcpu=cortex-a15", "-mfpu=neon"), ".syntax unified\n.arm",
        dict.fromkeys(_ARM, 4) | {"cpsr": 4, "d0": 8, "d8": 8, "d9": 8}, _ARM | {"cpsr": _ZERO},
    ),
    "t32": Cpu(
        "arm-none-eabi-", ("-mcpu=cortex-a15", "-mfpu=neon"), ".syntax unified\n.thumb",
        dict.fromkeys(_ARM, 4) | {"cpsr": 4}, _ARM | {"cpsr": _ZERO | 0x20},
    ),
    # In an 'it eq', of which one instruction is left: the zero flag is not set.
    "cortex-m": Cpu(
        "arm-none-eabi-", ("-mcpu=cortex-m3",), ".syntax unified\n.thumb",
        dict.fromkeys(_ARM, 4) | {"xpsr": 4}, _ARM | {"xpsr": 1 << 24 | 0x800},
    ),
    "a64": Cpu(
        "aarch64-linux-gnu-", ("-march=armv8.1-a",), "",
        dict.fromkeys(_A64, 8) | {"cpsr": 4} | {f"v{number}": 16 for number in range(32)}, _A64 | {"cpsr": _ZERO},
    ),
    "rv64": Cpu("riscv64-linux-gnu-", ("-march=rv64gc",), ".option norelax", dict.fromkeys(_RISCV, 8), _RISCV),
    "rv32": Cpu(
        "riscv64-linux-gnu-", ("-march=rv32gc", "-mabi=ilp32d"), ".option norelax", dict.fromkeys(_RISCV, 4), _RISCV
    ),
}  # fmt: skip


def register(name: str, size: int = 8, offset: int = 0) -> RegisterPlace:
    return RegisterPlace(name, size, offset)


def memory(address: int, size: int = 8) -> MemoryPlace:
    return MemoryPlace(address, size)


RAX, RBX, RSP, RBP = (register(name) for name in ("rax", "rbx", "rsp", "rbp"))
EAX, AL = register("rax", 4), register("rax", 1)
R0, R1, LR = (register(name, 4) for name in ("r0", "r1", "lr"))
X0, X1, X2, X30 = (register(name) for name in ("x0", "x1", "x2", "x30"))
A0, A1, A2, FP = (register(name) for name in ("a0", "a1", "a2", "fp"))

COPIES: Mapping[str, Sequence[tuple[str, Place, Place]]] = {
    "x86_64": [
        ("movq %rax, %rbx", RBX, RAX),
        ("movl %eax, %ebx", RBX, EAX),
        ("movl %eax, %ebx", register("rbx", 2, 1), register("rax", 2, 1)),
        ("movb %ah, %bl", register("rbx", 1), register("rax", 1, 1)),
        ("movq 8(%rbx), %rax", RAX, memory(0x2008)),
        ("movq -8(%rbx, %rcx, 4), %rax", RAX, memory(0x2004)),
        ("movq 0x104020(, %rcx, 8), %rax", RAX, memory(0x104038)),
        ("movq 0x20(%rip), %rax", RAX, memory(0x1027)),
        ("movq %gs:0x10, %rax", RAX, memory(0xF010)),
        ("movzbl (%rsi), %eax", RAX, memory(0x5000, 1)),
        ("movzwl %ax, %ebx", RBX, register("rax", 2)),
        ("movslq %eax, %rbx", RBX, EAX),
        ("movsbl (%rsi), %eax", RAX, memory(0x5000, 1)),
        ("cmovel %r8d, %eax", RAX, register("r8", 4)),
        ("movq %rax, 0x10(%rdi)", memory(0x6010), RAX),
        ("movq %rax, 0x10(%rdi)", memory(0x6013, 2), register("rax", 2, 3)),
        ("pushq %rbx", memory(0x7FF8), RBX),
        ("pushfq", memory(0x7FF8), register("eflags", 4)),
        ("popq %rax", RAX, memory(0x8000)),
        ("leave", RBP, memory(0x7000)),
        ("rep movsb (%rsi), %es:(%rdi)", memory(0x6000, 1), memory(0x5000, 1)),
        ("rep stosq %rax, %es:(%rdi)", memory(0x6002, 2), register("rax", 2, 2)),
        ("lodsb (%rsi), %al", AL, memory(0x5000, 1)),
        ("xchgq %rax, (%rdi)", memory(0x6000), RAX),
        ("xchgq %rax, (%rdi)", RAX, memory(0x6000)),
        ("movdqu (%rsi), %xmm0", register("xmm0", 16), memory(0x5000, 16)),
        ("movq %xmm0, (%rdi)", memory(0x6000), register("xmm0", 8)),
        ("movabsb %al, 0x123456789", memory(0x123456789, 1), AL),
    ],
    "x86_32": [
        ("movl 4(%ebp), %ebx", register("rbx", 4), memory(0x27004, 4)),
        ("pushl %ebx", memory(0x27FFC, 4), register("rbx", 4)),
        ("pushal", memory(0x27FF0, 4), register("rbx", 4)),
        ("popal", register("rdi", 4), memory(0x28000, 4)),
    ],
    "x86_16": [
        ("movw 4(%bp), %bx", register("rbx", 2), memory(0x27004, 2)),
        ("movw %ax, 2(%bx)", memory(0x12002, 2), register("rax", 2)),
        ("movw %es:(%di), %ax", register("rax", 2), memory(0x36000, 2)),
        ("rep movsb", memory(0x36000, 1), memory(0x15000, 1)),
        ("pushw %ds", memory(0x27FFE, 2), register("ds", 2)),
        ("popl %eax", register("rax", 4), memory(0x28000, 4)),
    ],
    "a32": [
        ("mov r0, r1", R0, R1),
        ("moveq r0, r1", R0, R1),
        ("ldr r0, [r1, #4]", R0, memory(0x104, 4)),
        ("ldr r0, [r1, -r2, lsl #1]", R0, memory(0xFFFF_FD00, 4)),
        ("ldr r0, [r1], #4", R0, memory(0x100, 4)),
        ("ldr r0, [r1, #4]!", R0, memory(0x104, 4)),
        ("ldr r0, [pc, #4]", R0, memory(0x100C, 4)),
        ("ldrsb r0, [r1]", R0, memory(0x100, 1)),
        ("strh r0, [r1, #2]", memory(0x102, 2), register("r0", 2)),
        ("strd r0, r1, [r2]", memory(0x204, 4), R1),
        ("ldrd r0, r1, [r2, #8]", R1, memory(0x20C, 4)),
        ("push {r0, r1, lr}", memory(0x7FFC, 4), LR),
        ("stmib r3, {r0, r1}", memory(0x308, 4), R1),
        ("ldmda r3, {r0, r1}", R0, memory(0x2FC, 4)),
        ("pop {r0, r1, pc}", R1, memory(0x8004, 4)),
        ("ldrex r0, [r1]", R0, memory(0x100, 4)),
        ("strex r3, r0, [r1]", memory(0x100, 4), R0),
        ("uxtb r0, r1", R0, register("r1", 1)),
        ("vldr d0, [r1, #8]", register("d0"), memory(0x108)),
        ("vldr s1, [r1]", register("d0", 4, 4), memory(0x100, 4)),
        ("vpush {d8, d9}", memory(0x7FF8), register("d9")),
    ],
    "t32": [
        ("movs r0, r1", R0, R1),
        ("mov r8, r1", register("r8", 4), R1),
        ("ldr r0, [pc, #4]", R0, memory(0x1008, 4)),
        ("ldr.w r0, [r1, r2, lsl #2]", R0, memory(0x900, 4)),
        ("push {r4, lr}", memory(0x7FFC, 4), LR),
        ("stmia r3!, {r0, r1}", memory(0x304, 4), R1),
        ("ldrb r0, [r1], #1", R0, memory(0x100, 1)),
        ("sxth r0, r1", R0, register("r1", 2)),
    ],
    "a64": [
        ("mov x0, x1", X0, X1),
        ("mov w0, w1", X0, register("x1", 4)),
        ("mov x0, sp", X0, register("sp")),
        ("sxtw x0, w1", X0, register("x1", 4)),
        ("uxtb w0, w1", X0, register("x1", 1)),
        ("csel x0, x1, x2, eq", X0, X1),
        ("csel x0, x1, x2, ne", X0, X2),
        ("ldr x0, [x1, #8]", X0, memory(0x108)),
        ("ldr x0, [x1], #8", X0, memory(0x100)),
        ("ldr x0, [x1, #8]!", X0, memory(0x108)),
        ("ldr x0, [x1, x2, lsl #3]", X0, memory(0x1100)),
        ("ldr x0, [x1, w2, sxtw]", X0, memory(0x300)),
        ("ldr x0, .+0x20", X0, memory(0x1020)),
        ("ldrsw x0, [x1]", X0, memory(0x100, 4)),
        ("ldrb w0, [x1]", X0, memory(0x100, 1)),
        ("ldur x0, [x1, #-3]", X0, memory(0xFD)),
        ("ldp x0, x2, [x1], #16", X2, memory(0x108)),
        ("stp x29, x30, [sp, #-16]!", memory(0x7FF8), X30),
        ("str w0, [x1]", memory(0x101, 2), register("x0", 2, 1)),
        ("strb w0, [x1, #1]", memory(0x101, 1), register("x0", 1)),
        ("stlr x0, [x1]", memory(0x100), X0),
        ("stxr w3, x0, [x1]", memory(0x100), X0),
        ("ldaxr x0, [x1]", X0, memory(0x100)),
        ("ldp q0, q1, [x1]", register("v1", 16), memory(0x110, 16)),
        ("str d1, [x0, #8]", memory(0x8), register("v1", 8)),
        ("fmov d0, x1", register("v0", 16), X1),
        ("umov x0, v1.d[1]", X0, register("v1", 8, 8)),
    ],
    "rv64": [
        ("mv a0, a1", A0, A1),
        ("addi a0, a1, 0", A0, A1),
        ("mv a0, s0", A0, FP),
        ("sext.w a0, a1", A0, register("a1", 4)),
        ("ld a0, 8(a1)", A0, memory(0x208)),
        ("lbu a0, 1(a1)", A0, memory(0x201, 1)),
        ("ld a0, 8(sp)", A0, memory(0x8008)),
        ("sd s0, 16(sp)", memory(0x8010), FP),
        ("sw a0, -4(a1)", memory(0x1FC, 4), register("a0", 4)),
        ("c.sw a0, 4(a1)", memory(0x204, 4), register("a0", 4)),
        ("lr.d a0, (a1)", A0, memory(0x200)),
        ("sc.w a0, a2, (a1)", memory(0x200, 4), register("a2", 4)),
        ("amoswap.d a0, a2, (a1)", A0, memory(0x200)),
        ("amoswap.d a0, a2, (a1)", memory(0x200), A2),
    ],
    "rv32": [
        ("lw a0, -0x204(a1)", register("a0", 4), memory(0xFFFF_FFFC, 4)),
        ("mv a0, a1", register("a0", 4), register("a1", 4)),
    ],
}

NO_COPIES: Mapping[str, Sequence[tuple[str, Place, str]]] = {
    "x86_64": [
        ("movl $5, %eax", RAX, CONSTANT),
        ("movb $0, 0x38(%rdi, %rcx)", memory(0x603B), CONSTANT),
        ("pushq $7", memory(0x7FF8), CONSTANT),
        ("addq $1, %rax", RAX, COMPUTED),
        ("cmovnel %r8d, %eax", RAX, COMPUTED),
        ("xorl %eax, %eax", RAX, COMPUTED),
        ("leaq 1(%rdi), %rax", RAX, COMPUTED),
        ("lock incl (%rdi)", memory(0x6000, 4), COMPUTED),
        ("lock cmpxchgl %ecx, (%rdi)", memory(0x6000, 4), COMPUTED),
        ("andb $0xf7, %ds:(%rdi)", memory(0x6000), COMPUTED),
        ("imulq $3, %rbx, %rax", RAX, COMPUTED),
        ("popq %rax", RSP, COMPUTED),
        ("rep movsb (%rsi), %es:(%rdi)", register("rcx"), COMPUTED),
        ("callq .+0x2000", memory(0x7FF8), RETURN_ADDRESS),
        ("callq .+0x2000", RSP, COMPUTED),
        ("inb %dx, %al", RAX, INPUT),
        ("rep insw %dx, %es:(%rdi)", memory(0x6000), INPUT),
        ("rdtsc", RAX, FROM_CPU),
        ("movq %cr2, %rax", RAX, FROM_CPU),
        ("int $0x80", memory(0x7FF8), NOT_WRITTEN),
        ("movq (%rsi), %rax", memory(0x7FF8), NOT_WRITTEN),
        ("movl %eax, %ebx", register("rbx", 2, 5), FILLED_UP),
    ],
    "x86_16": [("lcallw $0x10, $0x20", memory(0x27FFC, 2), RETURN_ADDRESS)],
    "a32": [
        ("movne r0, r1", R0, COMPUTED),
        ("mov r0, #5", R0, CONSTANT),
        ("movt r0, #5", register("r0", 2, 2), CONSTANT),
        ("mov r0, r1, lsl #2", R0, COMPUTED),
        ("bl .+0x100", LR, RETURN_ADDRESS),
        ("mrc p15, 0, r0, c13, c0, 3", R0, FROM_CPU),
        ("add r0, r1, r2", R0, COMPUTED),
        ("ldr r0, [r1], #4", R1, COMPUTED),
        ("ldr r0, [r1]", memory(0x100, 4), NOT_WRITTEN),
        ("svc #0", memory(0x7FFC, 4), NOT_WRITTEN),
    ],
    "t32": [("movs r0, #5", R0, CONSTANT), ("blx r3", LR, RETURN_ADDRESS), ("adds r0, r0, r1", R0, COMPUTED)],
    "cortex-m": [("mov r0, r1", R0, COMPUTED)],
    "a64": [
        ("mov x0, #0x1234", X0, CONSTANT),
        ("movk x0, #5, lsl #16", register("x0", 2, 2), CONSTANT),
        ("adrp x0, .", X0, CONSTANT),
        ("str xzr, [x1]", memory(0x100), CONSTANT),
        ("mov x0, xzr", X0, CONSTANT),
        ("dc zva, x1", memory(0x110), CONSTANT),
        ("ldrb w0, [x1]", register("x0", 4, 4), FILLED_UP),
        ("bl .+0x100", X30, RETURN_ADDRESS),
        ("mrs x0, cntvct_el0", X0, FROM_CPU),
        ("add x0, x1, x2", X0, COMPUTED),
        ("ldr x0, [x1], #8", X1, COMPUTED),
        ("ldadd x0, x1, [x2]", memory(0x200), COMPUTED),
        ("st1 {v0.16b}, [x2]", memory(0x200), COMPUTED),
        ("ldr x0, [x1]", memory(0x100), NOT_WRITTEN),
    ],
    "rv64": [
        ("li a0, 5", A0, CONSTANT),
        ("li a0, 500", A0, CONSTANT),
        ("lui a0, 5", A0, CONSTANT),
        ("auipc a0, 1", A0, CONSTANT),
        ("sd zero, 0(a1)", memory(0x200), CONSTANT),
        ("jal ra, .+0x100", register("ra"), RETURN_ADDRESS),
        ("jalr a1", register("ra"), RETURN_ADDRESS),
        ("csrr a0, mepc", A0, FROM_CPU),
        ("rdtime a0", A0, FROM_CPU),
        ("not a0, a1", A0, COMPUTED),
        ("amoadd.w a0, a2, (a1)", memory(0x200, 4), COMPUTED),
        ("ld a0, 0(a1)", memory(0x200), NOT_WRITTEN),
    ],
}


@cache
def assembled(cpu: str) -> Mapping[str, bytes]:
    """The code of all instructions of this CPU that are looked at, by their text."""
    texts = sorted(
        {text for cases in (COPIES, NO_COPIES) for text, _, _ in cases.get(cpu, ())} | set(_ALONE.get(cpu, ()))
    )
    about, lines = CPUS[cpu], []
    for text in texts:
        # Words of data, which are no code of the set, and a whole reach for what is read ahead.
        lines += [text, f".balign {_ROOM}, 0"]
    with tempfile.TemporaryDirectory() as folder:
        source, made, code = (Path(folder) / name for name in ("code.s", "code.o", "code.bin"))
        source.write_text("\n".join([about.before, *lines, ""]))
        run_tool(f"{about.tools}as", *about.options, "-o", str(made), str(source))
        run_tool(f"{about.tools}objcopy", "-O", "binary", "-j", ".text", str(made), str(code))
        content = code.read_bytes()
    assert len(content) == _ROOM * len(texts)
    return {text: content[number * _ROOM :][:_ROOM] for number, text in enumerate(texts)}


_ALONE = {"x86_64": ("movb %al, 3(%rdi)",)}


def instruction(cpu: str, text: str) -> Instruction:
    about = CPUS[cpu]
    return Instruction(assembled(cpu)[text], ADDRESS, about.registers, about.mode)


def moves(cpu: str, text: str) -> list[Move]:
    found = CPUS[cpu].decoder.moves(instruction(cpu, text))
    assert found is not None
    return found


@pytest.mark.parametrize("cpu", COPIES)
def test_copies(cpu: str) -> None:
    for text, asked, source in COPIES[cpu]:
        found = source_of(moves(cpu, text), asked)
        assert isinstance(found, Copied), text
        assert found.source == source, text


@pytest.mark.parametrize("cpu", NO_COPIES)
def test_no_copies(cpu: str) -> None:
    for text, asked, how in NO_COPIES[cpu]:
        assert source_of(moves(cpu, text), asked) == Made(how), text


def test_parts() -> None:
    """What is written is told where it is less than what was asked for, and of a string where the whole may be from."""
    found = source_of(moves("x86_64", "movb %al, 3(%rdi)"), memory(0x6000))
    assert found == Copied(AL, memory(0x6003, 1))
    found = source_of(moves("x86_64", "rep movsb (%rsi), %es:(%rdi)"), memory(0x5FF9))
    assert found == Copied(memory(0x5000, 1), memory(0x6000, 1), whole=memory(0x4FF9))


def test_registers_that_an_instruction_names() -> None:
    def named(cpu: str, text: str) -> Mapping[str, int]:
        return CPUS[cpu].decoder.named(instruction(cpu, text))

    assert named("x86_64", "movb $0, 0x38(%rdi, %rcx)") == {"rdi": 0x6000, "rcx": 3}
    assert named("a32", "add r0, r1, r2") == {"r0": 0, "r1": 0x100, "r2": 0x200}
    assert named("a64", "stp x29, x30, [sp, #-16]!") == {"x29": 0x1D00, "x30": 0x1E00, "sp": 0x8000}
    assert named("rv64", "not a0, a1") == {"a0": 0x100, "a1": 0x200}


def test_names_of_registers() -> None:
    def known(cpu: str, *names: str) -> list[RegisterPlace | None]:
        return [CPUS[cpu].decoder.register(name) for name in names]

    assert known("x86_64", "eax", "ah", "r8d", "cr3") == [EAX, register("rax", 1, 1), register("r8", 4), None]
    assert known("a32", "fp", "ip", "s1") == [register("r11", 4), register("r12", 4), register("d0", 4, 4)]
    assert known("a64", "w0", "lr", "q1") == [register("x0", 4), X30, register("v1", 16)]
    assert known("rv64", "s0", "zero") == [FP, None]
    i386 = decoder_for({"eax": 4, "eip": 4}, little_endian=True)
    assert i386.register("al") == register("eax", 1)


def test_what_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CPUS["a64"].decoder.moves(Instruction(b"\xff" * 4, ADDRESS, {})) is None
    with pytest.raises(UsageError, match="on x86, aarch64, arm and riscv guests only"):
        decoder_for({"pc": 8, "r12": 8}, little_endian=True)
    monkeypatch.setitem(sys.modules, "capstone", None)
    with pytest.raises(UsageError, match=r"install it with: pip install 'rrdbg\[origin\]'"):
        decoder_for(CPUS["a64"].sizes, little_endian=True)
