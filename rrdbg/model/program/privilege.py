"""At which privilege level code runs, as the registers of its architecture tell."""

from __future__ import annotations

from collections.abc import Mapping

_PROTECTED = 1
"""In ``cr0``: without it an x86 is in real mode, and has no rings."""

_A32 = 1 << 4
"""In AArch64's ``cpsr``: 32-bit code, whose modes are those of Arm."""

_ARM_MODES = {
    0x10: "user", 0x11: "FIQ", 0x12: "IRQ", 0x13: "supervisor", 0x16: "monitor", 0x17: "abort", 0x1A: "hypervisor",
    0x1B: "undefined", 0x1F: "system",
}  # fmt: skip
_RISCV_LEVELS = {0: "user", 1: "supervisor", 3: "machine"}
_EXCEPTION = 0x1FF
"""In a Cortex-M's ``xpsr``: the number of the exception that is handled."""

_PROBLEM = 1 << 14
"""In PowerPC's ``msr``."""


def privilege(registers: Mapping[str, int]) -> str:
    """The level in the words of the architecture's manual, by GDB's names of registers; empty where none is known."""
    if "cs" in registers:
        protected = registers.get("cr0", _PROTECTED) & _PROTECTED
        return f"ring {registers['cs'] & 3}" if protected else "real mode"
    if "cpsr" in registers:
        status = registers["cpsr"]
        if "x30" in registers and not status & _A32:
            return f"EL{status >> 2 & 3}"
        return _ARM_MODES.get(status & 0x1F, "")
    if "xpsr" in registers:
        return "handler" if registers["xpsr"] & _EXCEPTION else "thread"
    if "priv" in registers:
        return _RISCV_LEVELS.get(registers["priv"] & 3, "")
    if "msr" in registers:
        return "problem state" if registers["msr"] & _PROBLEM else "supervisor"
    return ""
