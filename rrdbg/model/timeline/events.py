"""What came to the guest from outside, as places on the timeline.

A replay log holds every event that a recording could not foretell. :class:`GuestEvent` is one of those that say
something to a user; QEMU's own book-keeping (checkpoints, bottom halves) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rrdbg.errors import UsageError
from rrdbg.model.timeline.position import Position


class EventKind(StrEnum):
    """The kinds of events, by the names that commands take."""

    INTERRUPT = "interrupt"
    EXCEPTION = "exception"
    INPUT = "input"
    SERIAL = "serial"
    PACKET = "packet"
    BLOCK = "block"
    CLOCK = "clock"
    RANDOM = "random"
    AUDIO = "audio"
    OUTPUT = "output"
    RESET = "reset"
    SHUTDOWN = "shutdown"


NOTABLE = frozenset(EventKind) - {EventKind.OUTPUT, EventKind.BLOCK, EventKind.CLOCK, EventKind.RANDOM, EventKind.AUDIO}
"""What next-event stops at if no kind is given: the others come by the thousand and say little."""


@dataclass(frozen=True, slots=True)
class GuestEvent:
    """One event: ``position`` is where the guest is about to receive it; ``data`` are its bytes, if it has some."""

    position: Position
    kind: EventKind
    text: str
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events of a kind there are, and the first and the last position."""

    kind: EventKind
    count: int
    first: Position
    last: Position


def parse_kind(word: str) -> EventKind:
    """A kind by its name, the plural, or an unambiguous beginning of it.

    :raises UsageError: there is none, or several.
    """
    name = word.lower()
    if name.removesuffix("s") in list(EventKind):
        return EventKind(name.removesuffix("s"))
    found = [kind for kind in EventKind if kind.startswith(name)]
    if len(found) != 1 or not name:
        raise UsageError(f"'{word}' is not a kind of event; they are {', '.join(EventKind)}.")
    return found[0]
