"""How a Linux kernel is called, by architecture: where it has the registers of the program that calls it.

Each has one function for it, which is given a ``struct pt_regs``. Their layout is of each kernel's
arch/ARCH/include/asm/ptrace.h, and has been the same in all versions that are read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORD = 8


@dataclass(frozen=True, slots=True)
class SavedCall:
    """What a program's saved registers say of a system call: its number, six arguments, and what it gave."""

    number: int
    arguments: Sequence[int]
    result: int


@dataclass(frozen=True, slots=True)
class SyscallAbi:
    """Of one architecture; places are bytes in the saved registers.

    ``function`` is the kernel's that is called, ``given`` are the registers of its arguments, one of which points to
    what is saved. ``back`` is the register with the address where it comes back to, empty if that is on top of the
    stack, whose pointer is ``stack``. The number and the first argument lie in other places before and after the call.
    Where others come back to the same place, the ``trap`` is a place and what is there of a system call.
    ``prefixes`` begin the names of the functions of calls. ``open_flags`` are those of open that differ.
    """

    name: str
    function: str
    given: Sequence[str]
    stack: str
    back: str
    size: int
    number: tuple[int, int]
    first: tuple[int, int]
    others: tuple[int, int, int, int, int]
    result: int
    prefixes: Sequence[str]
    trap: tuple[int, int] | None = None
    open_flags: Mapping[str, int] | None = None

    def read(self, saved: bytes, *, after: bool) -> SavedCall | None:
        """What the bytes of saved registers say, before or after the call; None if they are no system call's."""

        def word(place: int) -> int:
            return int.from_bytes(saved[place : place + _WORD], "little")

        if self.trap and word(self.trap[0]) != self.trap[1]:
            return None
        number = word(self.number[after]) & 0xFFFF_FFFF
        arguments = (word(self.first[after]), *(word(place) for place in self.others))
        return SavedCall(number, arguments, word(self.result))

    @property
    def pushed(self) -> int:
        """Bytes that calling the function has put on the stack, and coming back takes from it."""
        return 0 if self.back else _WORD


X86_64 = SyscallAbi(
    "x86_64", "do_syscall_64", ("rdi", "rsi"), "rsp", "", 168, (120, 120), (112, 112), (104, 96, 56, 72, 64), 80,
    ("__x64_sys_",),
)  # fmt: skip
"""Linux 5.12 has moved the pointer to the first argument. Calls of 32-bit programs go another way."""

AARCH64 = SyscallAbi(
    "aarch64", "do_el0_svc", ("x0",), "sp", "x30", 288, (64, 280), (0, 272), (8, 16, 24, 32, 40), 0,
    ("__arm64_sys_arm64_", "__arm64_sys_"),
    open_flags={"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_DIRECT": 0o200000, "O_LARGEFILE": 0o400000},
)  # fmt: skip
"""The result is put where the first argument and the number, x8, may have been overwritten."""

_FROM_USER = 8

RISCV64 = SyscallAbi(
    "riscv64", "do_trap_ecall_u", ("a0",), "sp", "ra", 288, (136, 136), (80, 280), (88, 96, 104, 112, 120), 80,
    ("__riscv_sys_riscv_", "__riscv_sys_", "sys_"), trap=(272, _FROM_USER),
)  # fmt: skip
"""Linux 6.5 and newer: before, assembly called the functions. Other exceptions come back to the same place."""

ABIS = (X86_64, AARCH64, RISCV64)
