"""Whether one more snapshot pays: what was replayed so far, and what the guest has waited for snapshots."""

from __future__ import annotations

SAVING_SHARE = 0.2
"""Saving, and the stops for it, takes at most this part of the time that is replayed: where it costs more, snapshots
lie further apart."""

INDEXING_SHARE = 0.35
"""The same where a pass proves what it leaves: who asks for an index wants jumps to be quick, and waits longer."""

ADVANCE_SECONDS = 0.3
"""So much saving may be done before it was earned: the first snapshot has all of the memory in it."""

_STOP_SECONDS = 0.005
"""What a stop costs: a tick of the host's scheduler, before QEMU's main loop comes to it."""


class Thrift:
    """The account of one pass: at most ``share`` of what it replays may go to snapshots. All in seconds."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._earned = ADVANCE_SECONDS
        self._spent = 0.0
        self._next = 0.0

    def ran(self, seconds: float) -> None:
        """A piece of the replay took so long, and a stop."""
        self._earned += self._share * seconds
        self._spent += _STOP_SECONDS

    def saved(self, seconds: float) -> None:
        """The guest waited so long for a snapshot; the next one will cost about the same."""
        self._next = seconds
        self._spent += seconds

    def waited(self, seconds: float) -> None:
        """The guest waited so long for something else that is done for snapshots."""
        self._spent += seconds

    @property
    def seconds_to_earn(self) -> float:
        """So much more must be replayed before the next snapshot pays; 0 or less: it does."""
        return (self._spent + self._next - self._earned) / self._share
