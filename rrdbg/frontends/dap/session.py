"""One editor at one recording: what is open, what runs, and what the editor is told of each stop."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from rrdbg.errors import Interrupted, RrdbgError, UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.dap.channel import Body, Channel
from rrdbg.frontends.dap.logpoints import Log
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.hits.stop import Stop, StopReason, Watchpoint
from rrdbg.model.results import Output, Result, Stopped
from rrdbg.model.shown import shown
from rrdbg.model.timeline.position import Position
from rrdbg.render.text import value_text

THREAD = 1
"""The number of the only thread: record/replay has one CPU."""

_LEVEL_BITS = 12
_NOT_GDBS = 1 << 24

_ENDS = {StopReason.START: "Start of the recording", StopReason.END: "End of the recording"}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says: a launch request may say otherwise."""

    recording: str | None = None
    symbols: str | None = None
    gdb: str = "gdb"
    at: str = "end"
    spares: int = 0


@dataclass(slots=True)
class Session:
    """What requests work on.

    ``stops`` counts the movements: what was handed out for one stop (frames, variables) means nothing at the next one.
    ``points`` are the numbers of GDB's breakpoints, by what the client has set them for; ``references`` are what it may
    ask for the parts of.
    """

    channel: Channel
    options: Options
    stack: AsyncExitStack
    over: bool = False
    configured: bool = False
    stops: int = 0
    start: str = "start"
    points: dict[str, list[int]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    references: list[Any] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    targets: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    for_gdb: bool = False
    in_what_if: bool = False
    log: Log = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(_NOT_GDBS))
    _replay: AsyncReplay | None = None
    _debugger: Debugger | None = None

    def __post_init__(self) -> None:
        self.log = Log(self.channel)

    async def open(self, replay: AsyncReplay) -> None:
        """Take an opened recording, and start its GDB."""
        self._replay = await self.stack.enter_async_context(replay)
        self._debugger = await replay.debugger()
        self._debugger.session.follow = True

    @property
    def replay(self) -> AsyncReplay:
        """The recording.

        :raises UsageError: none is open.
        """
        if self._replay is None:
            raise UsageError("No recording is open; a 'launch' request opens one.")
        return self._replay

    @property
    def debugger(self) -> Debugger:
        """The GDB on the recording.

        :raises UsageError: there is none any more.
        """
        if self._debugger is None or not self._debugger.alive:
            raise UsageError("GDB has gone; start the session again.")
        return self._debugger

    @property
    def opened(self) -> bool:
        """True once a recording is open."""
        return self._replay is not None

    async def mi(self, command: str) -> dict[str, Any]:
        """The values that a command of GDB/MI gives, which looks at the guest and does not move it."""
        return await self.debugger.ask(command)

    async def gdb(self, line: str) -> None:
        """Have GDB move the guest, and tell the client where it stands then."""
        await self.stop_after(lambda: self.gdb_moves(line))

    async def gdb_moves(self, line: str) -> Stop | None:
        """Have GDB move the guest; where that ended.

        :raises RrdbgError: it could not.
        """
        self.for_gdb = True
        try:
            return await self.show(await self.debugger.run(line))
        finally:
            self.for_gdb = False

    async def follow_what_if(self) -> bool:
        """Tell the client if what it looks at is another guest now, which can be changed and does not go back."""
        if self.in_what_if == self.debugger.in_what_if:
            return False
        self.in_what_if = self.debugger.in_what_if
        await self.channel.event("capabilities", {"capabilities": {"supportsStepBack": not self.in_what_if}})
        return True

    async def show(self, results: list[Result]) -> Stop | None:
        """Print what a command has given that the editor does not show by itself; the stop, if it was a movement."""
        stop = None
        for result in results:
            if isinstance(result, Stopped):
                stop = result.stop
                await self.output(result.printed, "stdout")
            elif isinstance(result, Output):
                await self.output(result.text, "console")
        return stop

    async def output(self, text: str, category: str = "console") -> None:
        """Show text in the debug console."""
        if text:
            text = shown(text)
            await self.channel.event(
                "output", {"category": category, "output": text if text.endswith("\n") else f"{text}\n"}
            )

    async def stop_after(self, move: Callable[[], Awaitable[Stop | None]], reason: str = "step") -> None:
        """Move, and tell the client where the guest stands then, however that went."""
        try:
            stop = await move()
        except Interrupted as error:
            await self.output(str(error))
            await self.stopped("pause")
        except RrdbgError as error:
            await self.output(str(error), "important")
            await self.stopped(reason, description=str(error))
        else:
            await self._stopped_at(stop, reason)

    async def _stopped_at(self, stop: Stop | None, reason: str) -> None:
        if stop is None or stop.reason in (StopReason.STEP, StopReason.TARGET):
            await self.stopped(reason)
        elif stop.reason in _ENDS:
            await self.stopped(reason, description=_ENDS[stop.reason])
        else:
            numbers = [hit.point.number for hit in stop.hits]
            why = self.reasons.get(numbers[0], "breakpoint") if numbers else "breakpoint"
            if stop.reason is StopReason.WATCHPOINT:
                why = "data breakpoint"
            await self.stopped(why, text="\n".join(_changes(stop)), hit=numbers)

    async def stopped(
        self, reason: str, *, description: str = "", text: str = "", hit: list[int] | None = None
    ) -> None:
        """Tell the client that the guest stands, and where."""
        await self.forget()
        body: Body = {"reason": reason, "threadId": THREAD, "allThreadsStopped": True}
        body |= {"description": shown(description)} if description else {}
        body |= {"text": text} if text else {}
        body |= {"hitBreakpointIds": hit} if hit else {}
        await self.channel.event("stopped", body)
        await self.channel.event("rrdbg/position", self.position())

    def position(self, position: Position | None = None) -> Body:
        """A position, the cursor's unless another one is given, as a client gets it."""
        place = self.replay.position if position is None else position
        return {
            "icount": place.icount, "phase": place.phase, "text": str(place),
            "percent": round(place.percent(self.replay.end), 2), "end": str(self.replay.end),
        }  # fmt: skip

    async def forget(self) -> None:
        """What was handed out for this stop means nothing any more."""
        self.stops += 1
        self.references.clear()
        self.targets.clear()
        held, self.held = self.held, []
        for name in held:
            try:
                await self.mi(f"-var-delete {name}")
            except RrdbgError:
                break  # GDB has gone, or dropped them itself

    def number(self) -> int:
        """A number for a breakpoint that is none of GDB's."""
        return next(self._numbers)

    def frame_id(self, level: int) -> int:
        """A number for a function of the backtrace, until the next stop."""
        return self.stops << _LEVEL_BITS | level

    def level(self, frame_id: int) -> int:
        """Which function of the backtrace has this number.

        :raises UsageError: none has, since the guest has moved.
        """
        if frame_id >> _LEVEL_BITS != self.stops:
            raise UsageError("The guest has moved since; ask for the stack anew.")
        return frame_id & ((1 << _LEVEL_BITS) - 1)

    def reference(self, what: object) -> int:
        """A number by which the client asks for the parts of something, until the next stop."""
        self.references.append(what)
        return len(self.references)

    def referred(self, number: int) -> Any:
        """What has this number.

        :raises UsageError: nothing has, since the guest has moved.
        """
        if not 1 <= number <= len(self.references):
            raise UsageError("The guest has moved since; ask for the variables anew.")
        return self.references[number - 1]


def _changes(stop: Stop) -> list[str]:
    return [
        f"{value_text(hit.change.before)} -> {value_text(hit.change.after)}"
        for hit in stop.hits
        if isinstance(hit.point, Watchpoint) and hit.change
    ]
