"""A machine's state as that of one whose recording begins there: its instructions are counted anew, its clock goes on.

QEMU's migration stream has the count and the clock in two places. ``timer/icount`` (icount-common.c, 7.2 to 11.1) has
the ns that the clock is ahead of the instructions, and the instructions. ``replay`` (replay/replay-snapshot.c) has the
last readings of two clocks, the instructions again, those that are left until the next event of the log, and whether
that has been read. A QEMU that records takes up all of it but the one but last, and the next one that replays
believes it.
"""

from __future__ import annotations

import functools
import struct

from rrdbg.errors import ImageError

_SUBSECTION = b"\x05\x0ctimer/icount"
_SECTION = b"\x06replay"
_WARP_TIMER = b"\x05\x17timer/icount/warp_timer"
_WARP_TIMER_BYTES = 16
"""When idle time began, and when it is to be looked at again."""

_VERSION_BYTES = 4
_INSTANCE_BYTES = 4
_COUNTS = struct.Struct(">qq")
_COUNTED = struct.Struct(">16xQ")

_ZEROED = {2: (range(16, 28), range(32, 36)), 3: (range(16, 32), range(36, 37))}
"""By version of ``replay``, 2 in QEMU 7.2 and 3 in 10.0 and 11.1: the bytes of the counts, and of what was read."""


def as_beginning(state: bytes, shift: int, later: int = 0, *, sleeps: bool = True) -> bytes:
    """``state``, saved with ``shift``, as the beginning of a recording in which the clock is ``later`` ns later.

    What comes after it may have any shift: only the past was counted in the old one. Where the new one does not sleep
    (``sleep=off``) QEMU has no timer for that, and aborts if it is given the time of one.

    :raises ImageError: it does not look as QEMU's states do.
    """
    edited = bytearray(state)
    counts, replay, warp = _places(state)
    at = counts + _VERSION_BYTES
    bias, icount = _COUNTS.unpack_from(state, at)
    edited[at : at + _COUNTS.size] = _COUNTS.pack(bias + (icount << shift) + later, 0)
    at = replay + _INSTANCE_BYTES
    version = int.from_bytes(state[at : at + _VERSION_BYTES])
    at += _VERSION_BYTES
    (counted,) = _COUNTED.unpack_from(state, at)
    if counted != icount or version not in _ZEROED:
        raise ImageError(f"The machine's state is none that can be begun with: {icount:,}, {counted:,}, {version}.")
    for numbers in _ZEROED[version]:
        for number in numbers:
            edited[at + number] = 0
    if not sleeps and warp is not None:
        del edited[warp - len(_WARP_TIMER) : warp + _VERSION_BYTES + _WARP_TIMER_BYTES]
    return bytes(edited)


@functools.lru_cache(maxsize=1)
def _places(state: bytes) -> tuple[int, int, int | None]:
    """Behind the names of both places, and of the timer if there is one; a thousand tries begin with one state."""
    warp = _after(state, _WARP_TIMER) if _WARP_TIMER in state else None
    return _after(state, _SUBSECTION), _after(state, _SECTION), warp


def _after(state: bytes, name: bytes) -> int:
    if state.count(name) != 1:
        raise ImageError(f"The machine's state has {state.count(name)} sections {name[1:].decode(errors='replace')!r}.")
    return state.index(name) + len(name)
