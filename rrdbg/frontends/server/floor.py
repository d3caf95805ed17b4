"""The floor of a replay: who has it moves the cursor or reads at it, and everybody else waits.

One client alone has it for itself, but for its control channel. With ``serve --shared`` all clients meet on one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rrdbg.engine.replay import Replay
from rrdbg.engine.window import Window

WITHOUT_GUEST = (
    None, b"qSupported", b"qC", b"qfThreadInfo", b"qsThreadInfo", b"qAttached", b"qSymbol:", b"QStartNoAckMode",
    b"vMustReplyEmpty", b"qRrdbg.control", b"qRrdbg.described", b"qqemu.sstepbits", b"Qqemu.sstepbits",
    b"qqemu.sstep", b"Qqemu.sstep=", b"qHostInfo", b"vCont?", b"?", b"T",
    b"H",
)  # fmt: skip
"""Packets by their names (None: unknown ones) that ask nothing of the guest, which others may be moving."""

LASTING = (b"qRcmd,", b"vCont;", b"bs", b"bc", b"c", b"C", b"s", b"S", b"D", b"k", b"vKill;")
"""Packets whose answer GDB waits for however long it takes."""

BUSY = "Another client moves the guest; try again when it has stopped, or stop it by Ctrl-C in a movement of your own."
MOVED = "rrdbg: another client has moved the cursor, to {here}; nothing was done, since you did not see that place.\n"


class Floor:
    """Of ``replay``; ``idle`` is held by whoever has it.

    ``shared`` tells that several clients have this cursor, so that each must look whether another one has moved it.
    """

    def __init__(self, replay: Replay, *, shared: bool = False) -> None:
        self.replay = replay
        self.shared = shared
        self.window = Window(replay)
        """The last few positions before the cursor, for all."""
        self.window.watch_jumps()
        self.idle = asyncio.Lock()
        """Held while the guest moves or is read from."""
        self._halts: list[Callable[[], None]] = []
        self._watchers: list[Callable[[int], None]] = []

    def join(self, halt: Callable[[], None]) -> Callable[[], None]:
        """Take part: ``halt`` ends a movement of one's own; what this gives is called by who leaves."""
        self._halts.append(halt)
        return lambda: self._halts.remove(halt)

    def watch(self, watcher: Callable[[int], None]) -> Callable[[], None]:
        """Have ``watcher`` called after each thing that was done, with the number of the client that did it.

        What this gives is called by who looks away.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def changed(self, by: int) -> None:
        """The client of that number has done something, perhaps: whoever watches may look."""
        for watcher in list(self._watchers):
            watcher(by)

    def interrupt(self) -> None:
        """Ctrl-C of somebody who waits: end the movement that is under way, whoever has begun it."""
        for halt in list(self._halts):
            halt()
