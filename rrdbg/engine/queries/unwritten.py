"""Changes of memory that no instruction has made at that address: a device's, by DMA, or through another mapping.

Watchpoints see instructions alone. So the value that the last write has left is compared with the one at the cursor,
and where they differ, the step is looked for, by halving, in which it changed.

A disk's data come into the guest's memory when the host has read them, at any instant between the request and its end,
which is an event of the log; the guest looks at them only then. So in another replay the step may be another one, and
what tells which request it was is the next event.
"""

from __future__ import annotations

from dataclasses import dataclass

from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError
from rrdbg.model.hits.stop import Hit
from rrdbg.model.timeline.events import EventKind, GuestEvent
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.history import history

_STRIDE = 64
"""Instructions that are stepped through in the end; a jump costs as much as some hundred steps."""

_DEVICES = frozenset({EventKind.BLOCK, EventKind.PACKET})


@dataclass(frozen=True, slots=True)
class Unwritten:
    """The bytes were ``old`` at ``before``, and ``new`` one step later, at ``after``, in this replay.

    ``event`` is the next one of a device that can write to memory, if one came before the cursor.
    """

    before: Position
    after: Position
    old: bytes
    new: bytes
    event: GuestEvent | None

    @property
    def cause(self) -> str:
        """What is known of who made it."""
        text = f"No instruction has written it by this address: it changed between {self.before} and {self.after}"
        if self.event is None:
            return (
                f"{text}. It was written by another address, or another page was mapped there: no device has answered."
            )
        return (
            f"{text}. A device may have: its next answer is the {self.event.kind} event at {self.event.position}"
            f"{f' ({self.event.text})' if self.event.text else ''}. Or it was written by another address."
        )


async def last_unwritten(
    replay: Replay, address: int, length: int, last: Hit | None, here: Position, now: bytes | None
) -> Unwritten | None:
    """A change before ``here``, where the value is ``now``, that is no write and comes after the ``last`` one.

    None if there is none, or no telling. If several devices have written since then, one of their changes is found.
    The cursor is moved.
    """
    if now is None or (last and (last.change is None or last.change.after == now)):
        return None
    low = last.position if last else START
    await replay.seek(low)
    left = await bytes_there(replay, address, length)
    if left is None or left == now:
        return None
    high, plain = here, replay.timeline.deliveries.plain_at_or_before
    while high.icount - low.icount > _STRIDE:
        middle = Position(plain((low.icount + high.icount) // 2))
        if not low < middle < high:
            break
        await replay.seek(middle)
        if await bytes_there(replay, address, length) == left:
            low = middle
        else:
            high = middle
    await replay.seek(low)
    while (new := await bytes_there(replay, address, length)) == left:
        low = replay.position
        if low >= here:
            return None
        await replay.stepi()
    after = replay.position
    found = history(replay.recording.layout.log, _DEVICES, low.icount, here.icount + 1)
    return None if new is None else Unwritten(low, after, left, new, next(found, None))


async def bytes_there(replay: Replay, address: int, length: int) -> bytes | None:
    """What lies there at the cursor; None where nothing is mapped."""
    try:
        return await replay.read_memory(address, length)
    except RspError:
        return None
