"""Stop replies: what GDB is told when the guest has stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.frontends.server.points import PointSet
from rrdbg.model.hits.stop import Breakpoint, Hit, StopReason, Watchpoint

TRAP = 5
INTERRUPTED = 2
QUIET = 0


@dataclass(frozen=True, slots=True)
class ClientFeatures:
    """What the client said in ``qSupported`` that it understands."""

    swbreak: bool = False
    hwbreak: bool = False
    multiprocess: bool = False

    @property
    def thread(self) -> str:
        """The id of the one thread there is."""
        return "p01.01" if self.multiprocess else "01"

    def stop(self, signal: int, *values: str) -> bytes:
        """A ``T`` packet with those of ``values`` that are not empty."""
        return f"T{signal:02x}thread:{self.thread};{''.join(f'{value};' for value in values if value)}".encode()

    @property
    def gone(self) -> bytes:
        """The packet that tells that there is no guest any more, killed by SIGKILL as far as GDB is concerned."""
        return b"X09;process:1" if self.multiprocess else b"X09"


def stop_reply(reason: StopReason, hits: Sequence[Hit], points: PointSet, features: ClientFeatures) -> bytes:
    """The reply for a movement that ended on the timeline.

    At the ends ``replaylog`` makes GDB say "No more reverse-execution history"; ``watch`` and its kin make it
    print the old and the new value instead of a SIGTRAP.
    """
    match reason:
        case StopReason.START:
            return features.stop(TRAP, "replaylog:begin")
        case StopReason.END:
            return features.stop(TRAP, "replaylog:end")
        case _:
            return features.stop(TRAP, *(_hit_value(hit, points, features) for hit in hits[:1]))


def _hit_value(hit: Hit, points: PointSet, features: ClientFeatures) -> str:
    if isinstance(hit.point, Watchpoint):
        if hit.point.number > 0:
            return ""  # set by a command of ours: GDB goes on at a watchpoint that it does not know
        return f"{hit.point.kind}:{hit.point.address:x}"
    return breakpoint_word(hit.point.address, points, features)


def breakpoint_word(address: int, points: PointSet, features: ClientFeatures) -> str:
    """How to call a stop at ``address``; empty if no breakpoint of the client's is there, or it knows no word."""
    kinds = {key.kind for key, point in points.keyed if isinstance(point, Breakpoint) and point.address == address}
    if 0 in kinds and features.swbreak:
        return "swbreak:"
    return "hwbreak:" if 1 in kinds and features.hwbreak else ""
