"""What a command works on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rrdbg.commands.symbols import Symbols
from rrdbg.engine.replay import Replay
from rrdbg.model.clock import GuestClock, GuestTime
from rrdbg.model.position import START, Position
from rrdbg.model.results import Stopped, Where
from rrdbg.model.stop import Stop
from rrdbg.store.clock import read_clock
from rrdbg.store.history import Console


@dataclass(slots=True)
class Session:
    """One user at one replay.

    ``over`` is set by ``quit``; ``examine_next`` is where ``x`` goes on; ``follow`` tells to show what the guest prints
    on the way; ``what_if`` starts or ends a machine that leaves the recording, if the front end can deal with one;
    ``symbols`` is a debugger that has them, if there is one; ``interruptible`` is set while a command may be cancelled
    though nothing moves.
    """

    replay: Replay
    over: bool = False
    examine_format: str = "xw"
    examine_next: int | None = None
    last_line: str = field(default="")
    follow: bool = False
    what_if: Callable[[bool], Awaitable[None]] | None = None
    symbols: Symbols | None = None
    interruptible: bool = False
    _console: Console | None = None
    _clock: GuestClock | None = None
    _shown: Position = START

    async def console(self) -> Console:
        """What the guest printed, and where; read once.

        :raises RecordingError: where cannot be told.
        """
        if self._console is None:
            layout = self.replay.recording.layout
            self._console = await asyncio.to_thread(Console.read, layout.log, layout.console)
        return self._console

    async def clock(self) -> GuestClock:
        """The guest's clock; read once.

        :raises LogError: the log is damaged.
        """
        if self._clock is None:
            recording = self.replay.recording
            self._clock = await asyncio.to_thread(read_clock, recording.layout.log, recording.manifest.invocation)
        return self._clock

    async def where(self) -> Where:
        """The cursor, the instruction there, and the time."""
        replay, clock = self.replay, await self.clock()
        time = GuestTime(clock.at(replay.position), clock.elapsed(replay.position), clock.exact)
        return Where(replay.position, replay.timeline.end, await replay.pc(), await self.instruction(), time)

    async def stopped(self, stop: Stop) -> Stopped:
        """``stop`` with the instruction at the cursor."""
        self.examine_next = None
        printed = ""
        if self.follow:
            printed = (await self.console()).between(self._shown, stop.position)
        self._shown = stop.position
        return Stopped(stop, self.replay.timeline.end, await self.instruction(), printed)

    async def instruction(self) -> str:
        """The instruction at the cursor as QEMU disassembles it; empty where it cannot."""
        lines = await self.replay.disassemble(await self.replay.pc(), 1)
        return lines[0][1] if lines else ""
