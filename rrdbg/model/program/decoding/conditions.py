"""Whether a condition holds, by the flags of the CPU."""

from __future__ import annotations


def x86_holds(condition: str, eflags: int) -> bool:
    """Whether ``condition``, as in ``cmovCONDITION``, holds with these flags."""
    carry, parity, zero, sign, overflow = (bool(eflags >> bit & 1) for bit in (0, 2, 6, 7, 11))
    return {
        "o": overflow, "no": not overflow, "b": carry, "ae": not carry, "e": zero, "ne": not zero,
        "be": carry or zero, "a": not (carry or zero), "s": sign, "ns": not sign, "p": parity, "np": not parity,
        "l": sign != overflow, "ge": sign == overflow,
        "le": zero or sign != overflow, "g": not zero and sign == overflow,
    }[condition]  # fmt: skip


def arm_holds(condition: int, status: int) -> bool:
    """Whether ``condition``, as the architecture numbers it from EQ = 0 on, holds with this cpsr or xpsr."""
    negative, zero, carry, overflow = (bool(status >> bit & 1) for bit in (31, 30, 29, 28))
    holds = (
        zero, carry, negative, overflow, carry and not zero, negative == overflow,
        not zero and negative == overflow, True,
    )[condition >> 1]  # fmt: skip
    return holds if condition >= 14 or not condition & 1 else not holds
