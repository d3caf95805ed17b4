"""A place in the guest's memory that an expression means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """``length`` bytes at a virtual ``address``; ``expression`` means them wherever the cursor is."""

    address: int
    length: int
    expression: str
