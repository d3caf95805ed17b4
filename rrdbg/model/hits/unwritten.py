"""A change of memory that no instruction has made: a device's, by DMA, or through another mapping."""

from __future__ import annotations

from dataclasses import dataclass

from rrdbg.model.timeline.events import GuestEvent
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Unwritten:
    """It was made between ``before`` and ``after``, in this replay.

    ``event`` is the next one of a device that can write to memory, if there is one. ``physical`` tells that it is known
    that no instruction has written there by any address.
    """

    before: Position
    after: Position
    event: GuestEvent | None
    physical: bool = False

    @property
    def cause(self) -> str:
        """What is known of who made it."""
        by = "" if self.physical else " by this address"
        text = f"No instruction has written it{by}: it changed between {self.before} and {self.after}"
        other = "" if self.physical else " Or it was written by another address, which --physical finds."
        if self.event is None:
            if self.physical:
                return f"{text}. No device has answered after that: the CPU may have, such as a page table's bits."
            return f"{text}. It was written by another address, which --physical finds: no device has answered."
        return (
            f"{text}. A device may have: its next answer is the {self.event.kind} event at {self.event.position}"
            f"{f' ({self.event.text})' if self.event.text else ''}.{other}"
        )
