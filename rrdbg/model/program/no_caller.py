"""What to do where GDB finds no caller: it guesses frames in code without symbols, and in real mode it has none."""

from __future__ import annotations

_RETURNED_FROM = ("i386", "i8086", "x86_64", "arm", "aarch64", "riscv", "powerpc", "ppc")
_LINKS = {"mips": "ra", "s390": "r14"}
"""The register in which a call leaves the address to return to, by how an architecture's name begins."""


def way_out(architecture: str, finish: str) -> str:
    """How to get to the caller of a function that no debugger knows, in one line; empty if nothing is known of it.

    ``architecture`` is as GDB or QEMU calls it, ``finish`` the command of rrdbg's that runs to a function's return.
    """
    if architecture.startswith(_RETURNED_FROM):
        return f"GDB finds no caller here; '{finish}' returns to it by the stack pointer."
    link = next((register for name, register in _LINKS.items() if architecture.startswith(name)), None)
    if link is None:
        return ""
    return f"GDB finds no caller here; where a function has just begun, 'until *${link}' returns to it."
