"""What the accelerator is doing for this session, or why nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AcceleratorInfo:
    """``usable`` tells whether it is used where that is quicker; ``text`` says why, or why not.

    ``passes`` is how often it has been used.
    """

    usable: bool
    text: str
    passes: int = 0
