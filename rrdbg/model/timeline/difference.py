"""How two recordings of a guest differ, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class MemoryDifference:
    """The first bytes of RAM that differ, at a guest-physical address, in the one and the other."""

    address: int
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two machines at one icount: their places, registers by name, and memory."""

    positions: tuple[Position, Position]
    registers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    memory: MemoryDifference | None = None


@dataclass(frozen=True, slots=True)
class Parting:
    """Two recordings are alike at ``before``, and no longer after the next step of each."""

    before: Position
    difference: Difference
    probes: int
    seconds: float


def common(first: Timeline, second: Timeline) -> Timeline:
    """What two timelines have in common: up to the nearer end, plain where both are, and their snapshots there."""
    deliveries = Deliveries.of(sorted([*_pairs(first.deliveries), *_pairs(second.deliveries)]))
    snapshots = {
        known.icount: known
        for known in (*first.snapshots, *second.snapshots)
        if deliveries.is_plain(known.icount) and known.sound is not False
    }
    ordered = tuple(snapshots[icount] for icount in sorted(snapshots))
    return Timeline(min(first.end, second.end), deliveries, ordered)


def _pairs(deliveries: Deliveries) -> Iterable[tuple[int, Delivery]]:
    return zip(deliveries.icounts, map(Delivery, deliveries.kinds), strict=True)
