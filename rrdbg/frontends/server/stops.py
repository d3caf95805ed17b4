"""Stop replies: what GDB is told when the guest has stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.frontends.server.points import PointSet
from rrdbg.model.stop import Hit, StopReason, Watchpoint

TRAP = 5
INTERRUPTED = 2
QUIET = 0


@dataclass(slots=True)
class ClientFeatures:
    """What the client said in ``qSupported`` that it understands in a stop reply."""

    swbreak: bool = False
    hwbreak: bool = False


def reply(signal: int, *values: str) -> bytes:
    """A ``T`` packet for the one thread there is."""
    return f"T{signal:02x}thread:01;{''.join(f'{value};' for value in values)}".encode()


def stop_reply(reason: StopReason, hits: Sequence[Hit], points: PointSet, features: ClientFeatures) -> bytes:
    """The reply for a movement that ended on the timeline.

    At the ends ``replaylog`` makes GDB say "No more reverse-execution history"; ``watch`` and its kin make it
    print the old and the new value instead of a SIGTRAP.
    """
    match reason:
        case StopReason.START:
            return reply(TRAP, "replaylog:begin")
        case StopReason.END:
            return reply(TRAP, "replaylog:end")
        case _:
            words = (_hit_value(hit, points, features) for hit in hits[:1])
            return reply(TRAP, *filter(None, words))


def _hit_value(hit: Hit, points: PointSet, features: ClientFeatures) -> str:
    if isinstance(hit.point, Watchpoint):
        return f"{hit.point.kind}:{hit.point.address:x}"
    return points.stop_word(hit.point, swbreak=features.swbreak, hwbreak=features.hwbreak)
