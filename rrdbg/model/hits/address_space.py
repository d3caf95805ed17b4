"""An address space: what virtual addresses mean while one root of page tables is in use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """The one whose page tables have their ``root`` at this physical address.

    A later process may get the same root. At the virtual address ``guard`` lie eight bytes that change where that
    happens; None where it cannot be told.
    """

    root: int
    guard: int | None = None

    def __str__(self) -> str:
        return f"{self.root:#x}"
