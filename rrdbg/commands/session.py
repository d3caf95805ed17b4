"""What a command works on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rrdbg.commands.program import Names
from rrdbg.commands.symbols import Symbols
from rrdbg.commands.visits import Visits
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.hits.stop import Stop
from rrdbg.model.linux.task import Running
from rrdbg.model.results import Found, Frame, Stopped, Where
from rrdbg.model.timeline.clock import GuestClock, GuestTime
from rrdbg.model.timeline.line import QUERY_HITS
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.clock import read_clock
from rrdbg.store.history import Console


@dataclass(slots=True)
class Session:
    """One user at one replay.

    ``over`` is set by ``quit``; ``examine_next`` is where ``x`` goes on; ``follow`` tells to show what the guest prints
    on the way; ``what_if`` starts or ends a machine that leaves the recording, if the front end can deal with one,
    ``web`` a page of this session in a browser;
    ``symbols`` is a debugger that has them, if there is one; ``visits`` are the places where the user has been,
    ``shown_frame`` is the function and line that the last stop was shown with, ``found`` what the last query found;
    ``interruptible`` is set while a command may be cancelled though nothing moves; ``shown_running`` is the task that
    the last stop was shown with; ``symbols_file`` is the ELF file of the guest's symbols, if one was named.
    """

    replay: Replay
    over: bool = False
    examine_format: str = "xw"
    examine_next: int | None = None
    follow: bool = False
    what_if: Callable[[bool], Awaitable[None]] | None = None
    web: Callable[[bool], Awaitable[str]] | None = None
    symbols: Symbols | None = None
    symbols_file: Path | None = None
    visits: Visits = field(default_factory=Visits)
    checkpoints: dict[int, Position] = field(default_factory=dict)
    shown_frame: Frame | None = None
    found: list[Position] = field(default_factory=list)
    interruptible: bool = False
    shown_running: Running | None = None
    _console: Console | None = None
    _clock: GuestClock | None = None
    _shown: Position = START
    _linux: LinuxGuest | None = None
    _names: Names | None = None

    @property
    def linux(self) -> LinuxGuest:
        """What is known of Linux in this guest."""
        if self._linux is None:
            self._linux = LinuxGuest(self.replay)
        return self._linux

    def symbols_for(self, what: str, instead: str = "*ADDRESS") -> Symbols:
        """The debugger that finds ``what``.

        :raises UsageError: there is none; the message says what to write ``instead``.
        """
        if self.symbols is None:
            raise UsageError(f"Without a GDB there are no symbols to find '{what}' by; write {instead}.")
        return self.symbols

    async def names(self) -> Names:
        """What the guest's functions are called; its file is read once."""
        if self._names is None or self._names.program is None:
            self._names = await Names.of(self.replay, self.symbols_file, lambda: self.symbols)
        return self._names

    async def console(self) -> Console:
        """What the guest printed, and where; read once.

        :raises RecordingError: where cannot be told.
        """
        if self._console is None:
            layout = self.replay.recording.layout
            self._console = await asyncio.to_thread(Console.read, layout.log, layout.console)
        return self._console

    @property
    def known_clock(self) -> GuestClock | None:
        """The guest's clock, if it has been read."""
        return self._clock

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
        here = Where(
            replay.position, replay.timeline.end, await replay.pc(), await self.instruction(), time,
            running=await self.linux.running(),
        )  # fmt: skip
        return replace(here, frame=await self.symbols.frame()) if self.symbols else here

    async def stopped(self, stop: Stop) -> Stopped:
        """``stop`` with the instruction at the cursor."""
        return replace(await self.moved(stop), instruction=await self.instruction())

    async def moved(self, stop: Stop, text: str = "") -> Stopped:
        """``stop`` with what the guest printed on the way; ``text`` is what GDB printed, if it made the movement."""
        self.examine_next = None
        printed = ""
        if self.follow:
            printed = self._printed(await self.console(), stop.position)
        self._shown = stop.position
        frame = self.shown_frame = await self.symbols.frame() if self.symbols else None
        running = self.shown_running = await self.linux.running(wanted=False)
        return Stopped(stop, self.replay.timeline.end, printed=printed, frame=frame, text=text, running=running)

    def note(self, position: Position, text: str, fields: dict[str, str], *, named: bool = False) -> Found:
        """A place that a query has found, with the number that it has from now on.

        Unless its task is ``named`` already it is, if it is known.
        """
        self.found.append(position)
        self.replay.mark(QUERY_HITS, position, text)
        if not named and (task := self.linux.task_at(position)):
            text, fields = f"{text}  in {task}", {**fields, "task": task.comm, "pid": str(task.pid)}
        return Found(len(self.found), position, text, fields)

    @property
    def places(self) -> dict[str, Position]:
        """The positions that have names: bookmarks, and by their numbers what the last query found."""
        self.replay.catch_up()
        numbered = {str(number): position for number, position in enumerate(self.found, 1)}
        return numbered | self.replay.timeline.places

    async def revisit(self, distance: int) -> Stopped:
        """Go ``distance`` places further on among those where the user has been, or back where it is negative.

        :raises OutOfRange: there are not so many.
        """
        self.visits.note(self.replay.position)
        target = self.visits.go(distance)
        try:
            return await self.stopped(await self.replay.seek(target))
        except BaseException:
            self.visits.go(-distance)
            raise

    def _printed(self, console: Console, here: Position) -> str:
        """What the guest printed on the way ``here``, or where its console has gone back to."""
        if here >= self._shown or console.size_at(here) == console.size_at(self._shown):
            return console.between(self._shown, here)
        *_, last = ["nothing", *(text for _, text in console.lines(here))]
        return f"[the console is back at: {last}]"

    async def instruction(self) -> str:
        """The instruction at the cursor as QEMU disassembles it; empty where it cannot."""
        lines = await self.replay.disassemble(await self.replay.pc(), 1)
        return lines[0][1] if lines else ""
