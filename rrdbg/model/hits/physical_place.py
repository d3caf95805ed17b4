"""A place in physical memory, whatever virtual addresses are mapped to it."""

from __future__ import annotations

from dataclasses import dataclass

from rrdbg.errors import UsageError

PAGE = 0x1000
"""The smallest page of all architectures."""


@dataclass(frozen=True, slots=True)
class PhysicalPlace:
    """``length`` bytes from the physical ``address`` on, all of them in one page.

    What is mapped side by side by virtual addresses need not be so in physical memory, and the other way round.
    """

    address: int
    length: int

    def __post_init__(self) -> None:
        """Check that it is within a page.

        :raises UsageError: it is not.
        """
        if not 0 < self.length <= PAGE - self.address % PAGE:
            raise UsageError(
                f"{self.length:,} bytes of physical memory from {self.address:#x} on are not all in one page; ask for "
                f"those of each page, at most {PAGE - self.address % PAGE:,} from there."
            )

    def __str__(self) -> str:
        return f"physical {self.address:#x}:{self.length}"
