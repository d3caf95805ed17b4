"""Two recordings beside each other: what both have at the same places, and what comes where they part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rrdbg.model.timeline.deliveries import Deliveries
from rrdbg.model.timeline.events import GuestEvent
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Side:
    """One of two recordings: what it is called, its last position, and how it has ended."""

    name: str
    end: Position
    ended: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one of them has at ``position``: an event, or an instruction; ``place`` is in which function."""

    position: Position
    text: str
    place: str = ""

    @classmethod
    def of(cls, event: GuestEvent) -> Sight:
        """An event, whose place is not known yet."""
        return cls(event.position, f"{event.kind} {event.text}".rstrip())


@dataclass(frozen=True, slots=True)
class Row:
    """What both have next: the same where they are ``alike``. One that has nothing more has None."""

    alike: bool
    first: Sight | None
    second: Sight | None


def alike(first: Deliveries, second: Deliveries) -> int:
    """How many interrupts and exceptions come at the same places in two recordings, before one that does not.

    >>> from rrdbg.model.timeline.deliveries import Delivery
    >>> ours = Deliveries.of([(5, Delivery.INTERRUPT), (9, Delivery.INTERRUPT)])
    >>> alike(ours, Deliveries.of([(5, Delivery.INTERRUPT), (7, Delivery.INTERRUPT)])), alike(ours, ours)
    (1, 2)
    """
    pairs = enumerate(zip(_pairs(first), _pairs(second), strict=False))
    return next((number for number, (ours, theirs) in pairs if ours != theirs), min(len(first), len(second)))


def _pairs(deliveries: Deliveries) -> Iterable[tuple[int, int]]:
    return zip(deliveries.icounts, deliveries.kinds, strict=True)
