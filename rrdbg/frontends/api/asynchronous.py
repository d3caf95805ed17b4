"""The asynchronous API: a recording with a cursor, for programs that run an event loop of their own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.machines.progress import ProgressListener
from rrdbg.engine.queries.origin import DEPTH
from rrdbg.engine.queries.origin import origin as follow
from rrdbg.engine.replay import Replay as Cursor
from rrdbg.engine.search.scan import Accept
from rrdbg.engine.window import Outcome, Window
from rrdbg.errors import QemuLaunchError, RrdbgError, UsageError
from rrdbg.frontends.api import queries
from rrdbg.frontends.api.drgn_program import DrgnProgram
from rrdbg.frontends.api.targets import Address, Place, Targets
from rrdbg.frontends.api.values import Value, read_value
from rrdbg.frontends.shared.opening import open_with_workers, symbols_of
from rrdbg.frontends.shared.options import processors
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.gdb_choice import USUAL, find_gdb
from rrdbg.model.hits.stop import Breakpoint, Hit, Point, Stop, WatchKind, Watchpoint, check_physical
from rrdbg.model.program.moves import Hop, MemoryPlace
from rrdbg.model.results import Frame, Output, Result
from rrdbg.model.size import parse_size
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.events import EventKind, GuestEvent, parse_kind
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.library import Library
from rrdbg.store.recording import adopt


class AsyncReplay:
    """An opened recording with a cursor; :meth:`open` makes it, and its ``async with`` block ends every process of it.

    A GDB is started when something is asked that only symbols can tell. One call at a time moves the cursor; queries
    that stream (:meth:`writes`, :meth:`hits`, ...) run in a QEMU of their own and leave it alone.
    """

    def __init__(self, cursor: Cursor, symbols: Path | None, gdb: str | None = USUAL) -> None:
        self._cursor = cursor
        self._window = Window(cursor)
        self._window.watch_jumps()
        self._symbols = symbols
        self._gdb = gdb
        self._debugger: Debugger | None = None
        self._stack = AsyncExitStack()
        self._session = Session(cursor, symbols_file=symbols)
        self._targets = Targets(self._session, self.debugger)
        self.drgn_program: DrgnProgram | None = None
        """drgn's view of it, once the synchronous API was asked for that."""

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        symbols: str | os.PathLike[str] | None = None,
        gdb: str | None = USUAL,
        snapshot_budget: str | int | None = None,
        trust: bool = False,
        jobs: int | None = None,
        dask: str | None = None,
        spares: int = 0,
        client: str = "api",
    ) -> AsyncReplay:
        """Open the recording at ``path``, or of that name in the library, or the latest, with the cursor at its start.

        ``symbols`` is an ELF file (default: the recorded kernel, or a Linux guest's own names),
        ``gdb`` the program to start when they are needed
        (``"gdb"``: that, or gdb-multiarch if only that knows the guest; None: do without),
        ``snapshot_budget`` what the snapshots may take on disk, in bytes or such as ``"4G"``. Long
        searches are shared out among ``jobs`` processes (None: as many as there are processors), or on the Dask cluster
        whose scheduler is at ``dask``. While nothing moves up to ``spares`` QEMUs are started ahead. ``trust`` takes
        the recording for the user's own from now on, whoever has made it. Other sessions in it see this one as
        ``client``.

        :raises RecordingError: it cannot be used.
        :raises QemuLaunchError: its QEMU is missing.
        :raises LinkError: there is no such cluster.
        :raises UsageError: there is no file ``symbols``.
        """
        budget = parse_size(snapshot_budget) if isinstance(snapshot_budget, str) else snapshot_budget
        root = Library.default().find(None if path is None else os.fspath(path))
        if trust:
            adopt(root)
        cursor = await open_with_workers(root, jobs or processors(), dask, budget=budget, spares=spares, client=client)
        try:
            return cls(cursor, symbols_of(cursor.recording, os.fspath(symbols) if symbols else None), gdb)
        except BaseException:
            await cursor.close()
            raise

    async def close(self) -> None:
        """End every QEMU and GDB, and let the recording go."""
        if self.drgn_program:
            self.drgn_program.close()
        try:
            await self._stack.aclose()
        finally:
            await self._cursor.close()

    async def _stopped(self, outcome: Outcome) -> Stop:
        reason, hits = outcome
        return Stop(reason, self.position, await self._window.pc(), hits)

    async def __aenter__(self) -> AsyncReplay:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def cursor(self) -> Cursor:
        """The engine beneath."""
        return self._cursor

    @property
    def symbols(self) -> Path | None:
        """The file that symbols are read from, if there is one."""
        return self._symbols

    @property
    def session(self) -> Session:
        """What rrdbg's commands work on; it has symbols once a GDB was started."""
        return self._session

    @property
    def position(self) -> Position:
        """Where the cursor is."""
        return self._cursor.position

    @property
    def end(self) -> Position:
        """The last position of the recording."""
        return self._cursor.timeline.end

    @property
    def on_progress(self) -> ProgressListener:
        """Called with a :class:`~rrdbg.engine.machines.progress.Progress` now and then during long work."""
        return self._cursor.on_progress

    @on_progress.setter
    def on_progress(self, listener: ProgressListener) -> None:
        self._cursor.on_progress = listener

    async def position_of(self, place: Place) -> Position:
        """The position that ``place`` means.

        :raises UsageError: it means none.
        """
        return await self._targets.position(place)

    # Moving

    async def seek(self, place: Place) -> Stop:
        """Move the cursor to ``place``.

        :raises OutOfRange: it is not on the timeline.
        :raises UsageError: it is no position.
        """
        return await self._cursor.seek(await self.position_of(place))

    async def step(self, count: int = 1) -> Stop:
        """Execute ``count`` instructions; taking an interrupt or exception counts as one."""
        if count == 1:
            return await self._stopped(await self._window.step())
        return await self._cursor.stepi(count)

    async def reverse_step(self, count: int = 1) -> Stop:
        """Go back by ``count`` of what :meth:`step` goes forward."""
        if count == 1:
            return await self._stopped(await self._window.step_back())
        return await self._cursor.reverse_stepi(count)

    async def cont(self, to: Address | None = None, where: str | None = None) -> Stop:
        """Run forward to the next hit of a breakpoint or watchpoint, or to the end.

        The location ``to`` counts as a breakpoint this time, if the C expression ``where`` holds there.
        """
        return await self._cursor.cont(*await self._once(to, where))

    async def reverse_continue(self, to: Address | None = None, where: str | None = None) -> Stop:
        """Go back to the last hit before the cursor, or to the start; ``to`` and ``where`` are as for :meth:`cont`.

        A watchpoint leaves the cursor on the instruction that is about to make the access.
        """
        return await self._cursor.reverse_cont(*await self._once(to, where))

    async def last(
        self, target: Address, size: int | None = None, at: Place | None = None, *, everywhere: bool = False
    ) -> queries.Change:
        """Go back, from ``at`` or the cursor, to the last write that changed ``target``, which is as for :meth:`watch`.

        The cursor is left on the instruction that is about to write.

        :raises OutOfRange: nothing has changed it before; the cursor is where it was.
        """
        return await self._change("last", target, size, at, everywhere)

    async def first(self, target: Address, size: int | None = None, *, everywhere: bool = False) -> queries.Change:
        """Go to the first write of all that changed ``target``.

        :raises OutOfRange: nothing ever changes it; the cursor is where it was.
        """
        return await self._change("first", target, size, None, everywhere)

    async def bisect(self, condition: str, start: Place = "start", end: Place = "end") -> queries.Change:
        """Go to where the C expression ``condition`` begins to hold, if it holds from then on up to ``end``.

        After :meth:`keep_to_task` it is asked only where that task runs, of its own memory. If it begins to hold while
        others run, the cursor is left where the task goes on, and the change's ``cause`` says so.

        :raises Undecided: it holds at ``start``, or not at ``end``; the cursor is where it was.
        """
        stretch = await self._targets.stretch(start, end)
        async with self._unmoved_if_refused():
            return await queries.bisect(self._session, (await self.debugger()).symbols, condition, *stretch)

    async def bookmark(self, name: str, note: str = "", at: Place | None = None) -> Position:
        """Give the cursor's position, or ``at``, a name that is kept with the recording: ``seek("@name")`` comes back.

        :raises UsageError: it is no name.
        """
        if not name.isidentifier():
            raise UsageError(f"'{name}' is not a name for a bookmark; use letters, digits and _.")
        position = self.position if at is None else await self.position_of(at)
        self._cursor.bookmark(name, Bookmark(position, note))
        return position

    @property
    def bookmarks(self) -> Mapping[str, Bookmark]:
        """The places that have names."""
        self._cursor.catch_up()
        return dict(self._cursor.timeline.bookmarks)

    # Breakpoints and watchpoints

    async def break_at(self, location: Address) -> Sequence[Breakpoint]:
        """Set a breakpoint on an address, ``"function"`` or ``"file.c:line"``; it may stand for several instructions.

        :raises GdbError: there is no such location.
        """
        return [
            self._cursor.points.add_breakpoint(point.address) for point in await self._targets.places(location, None)
        ]

    async def watch(
        self,
        target: Address,
        size: int | None = None,
        kind: WatchKind | str = "watch",
        *,
        everywhere: bool = False,
        physical: bool = False,
    ) -> Watchpoint:
        """Watch ``size`` bytes at an address, or without a size an expression's value in memory, such as ``"counter"``.

        ``kind`` is ``watch`` (writes that change it), ``rwatch`` or ``awatch``. Where each process has memory of its
        own there, the one at the cursor is meant, unless it is to count ``everywhere``. With ``physical`` memory itself
        is watched, by whatever address it is written to: at the physical address ``target``, or behind an expression.

        :raises GdbError: the expression has no address.
        :raises UsageError: nothing is mapped there, or physical memory is to be watched for reads.
        """
        if physical:
            check_physical(WatchKind(kind))
            return self._cursor.points.add_physical(await self._targets.physical(target, size))
        address, length = await self._targets.range(target, size)
        space = None if everywhere else await self._cursor.space_of(address)
        return self._cursor.points.add_watchpoint(address, length, WatchKind(kind), space)

    async def keep_to_task(self, task: str | int | None) -> None:
        """Have points, searches and lists count only while this task of a Linux guest runs; None: whoever runs.

        A name or a number; that of a process means all of its threads.

        :raises UsageError: there is no such task, or no Linux.
        """
        spaces = self._cursor.spaces
        spaces.task = None if task is None else await self._session.linux.runs_of(str(task), START, self.end)
        spaces.forget()

    async def delete(self, point: Point | None = None) -> None:
        """Delete a breakpoint or watchpoint, or all.

        :raises UsageError: it is not set.
        """
        self._cursor.points.delete(point.number if point else None)

    # Looking at the guest

    async def read_memory(self, address: Address, size: int) -> bytes:
        """``size`` bytes of guest memory at the cursor.

        :raises RspError: they are not mapped there.
        """
        return await self._window.read_memory(await self._targets.address(address), size)

    async def registers(self) -> dict[str, int]:
        """The registers at the cursor, by name."""
        return await self._window.registers()

    async def disassemble(self, address: Address | None = None, count: int = 1) -> list[tuple[int, str]]:
        """``count`` instructions from an address, or from the cursor's own on, as (address, text)."""
        start = await self._cursor.pc() if address is None else await self._targets.address(address)
        return await self._cursor.disassemble(start, count)

    async def eval(self, expression: str, at: Place | None = None) -> Value:
        """The value of a C expression at the cursor: a number where it is one, or else as GDB prints it.

        With ``at`` it is that of another place, and the cursor is where it was afterwards.

        :raises GdbError: it has none there.
        """
        if at is None:
            return read_value(await (await self.debugger()).symbols.value(expression))
        here = self.position
        await self.seek(at)
        try:
            return await self.eval(expression)
        finally:
            await self._cursor.seek(here)

    async def frame(self) -> Frame | None:
        """The function and the source line at the cursor, as far as symbols tell."""
        return await (await self.debugger()).symbols.frame()

    async def gdb(self, line: str) -> str:
        """Run a command of GDB's, such as ``"backtrace"``, and return what it prints; it may move the cursor.

        :raises GdbError: GDB refused it.
        """
        answers = await (await self.debugger()).run(line)
        return "".join(answer.text for answer in answers if isinstance(answer, Output))

    async def run(self, line: str) -> list[Result]:
        """Run a command of rrdbg's shell and return its answers as values (:mod:`rrdbg.model.results`).

        :raises UsageError: there is no such command.
        """
        if await self.has_gdb():
            await self.debugger()
        async with aclosing(COMMANDS.run(self._session, line)) as answers:
            return [answer async for answer in answers]

    # Queries

    async def events(
        self, kind: EventKind | str | None = None, start: Place = "start", end: Place = "end"
    ) -> AsyncGenerator[GuestEvent, None]:
        """What came to the guest from outside: the events of ``kind``, or all that a user may want to see."""
        kinds = None if kind is None else {parse_kind(kind)}
        log = self._cursor.recording.layout.log
        async with aclosing(queries.events(log, kinds, *await self._targets.stretch(start, end))) as found:
            async for event in found:
                yield event

    async def console(self) -> AsyncGenerator[queries.Line, None]:
        """The lines that the guest prints, and where each begins to be printed.

        :raises RecordingError: where cannot be told.
        """
        for position, text in (await self._session.console()).lines():
            yield queries.Line(position, text)

    async def writes(
        self,
        target: Address,
        size: int | None = None,
        start: Place = "start",
        end: Place = "end",
        *,
        everywhere: bool = False,
        physical: bool = False,
    ) -> AsyncGenerator[Hit, None]:
        """Each write that changes memory; a hit's position is where it is about to be made, ``change`` has the bytes.

        Where each process has memory of its own at ``target``, the one at the cursor is meant; with ``everywhere``
        those of others come, too, as ``foreign`` hits. ``physical`` is as for :meth:`watch`. A hit that is
        ``unwritten`` is a change that no instruction has made; its ``pc`` says nothing then.
        """
        if physical:
            points = [Watchpoint.on_physical(-1, await self._targets.physical(target, size))]
            found = self._cursor.scan(points, *await self._targets.stretch(start, end))
        else:
            found = self._accesses(target, size, WatchKind.WRITE, start, end, everywhere)
        async with aclosing(found) as hits:
            async for hit in hits:
                yield hit

    async def reads(
        self,
        target: Address,
        size: int | None = None,
        start: Place = "start",
        end: Place = "end",
        *,
        everywhere: bool = False,
    ) -> AsyncGenerator[Hit, None]:
        """Each read of memory, at the instruction that makes it. ``everywhere`` is as for :meth:`writes`."""
        async with aclosing(self._accesses(target, size, WatchKind.READ, start, end, everywhere)) as hits:
            async for hit in hits:
                yield hit

    async def hits(
        self, location: Address | Point, where: str | None = None, start: Place = "start", end: Place = "end"
    ) -> AsyncGenerator[Hit, None]:
        """Each time that a location is reached, or a point set off, and the C expression ``where`` holds.

        ``where`` is for locations and breakpoints; it is judged where the guest stands, at a millisecond a hit.

        :raises GdbError: there is no such location, or ``where`` cannot be compiled for it.
        """
        stretch = await self._targets.stretch(start, end)
        if isinstance(location, Watchpoint):
            if where:
                raise UsageError("'where' is for breakpoints; filter a watchpoint's hits by their change.")
            found = self._made(await self._cursor.bound_here([location]), *stretch)
        else:
            place = location.address if isinstance(location, Breakpoint) else location
            found = queries.hits(self._cursor, await self._targets.places(place, where), *stretch)
        async with aclosing(found) as hits:
            async for hit in hits:
                yield hit

    async def calls(
        self, function: str, *, args: bool = True, start: Place = "start", end: Place = "end"
    ) -> AsyncGenerator[queries.Call, None]:
        """Each call of ``function``: where, from where, with ``args`` its arguments, and what it returned.

        They come piece by piece of the timeline; what has not returned at the end of one comes later.

        :raises GdbError: there is no such function.
        """
        symbols = (await self.debugger()).symbols
        stretch = await self._targets.stretch(start, end)
        async with aclosing(queries.calls(self._cursor, symbols, function, *stretch, arguments=args)) as found:
            async for call in found:
                yield call

    async def origin(self, target: Address, depth: int = DEPTH) -> AsyncGenerator[Hop, None]:
        """The way of a value back through copies: of ``"$rax"``, of an expression's value in memory or in a register.

        The last hop first, at most ``depth``. The cursor is where it was when the way is at its end, or left.

        :raises GdbError: there is no such value.
        """
        place = MemoryPlace(target, 8) if isinstance(target, int) else await self._targets.value(target)
        start = self._cursor.position
        try:
            async with aclosing(follow(self._cursor, place, depth)) as hops:
                async for hop in hops:
                    yield hop
        finally:
            await self._cursor.seek(start)

    async def _accesses(
        self, target: Address, size: int | None, kind: WatchKind, start: Place, end: Place, everywhere: bool
    ) -> AsyncGenerator[Hit, None]:
        points = await self._cursor.bound_here([Watchpoint(-1, *await self._targets.range(target, size), kind)])
        async with aclosing(self._made(points, *await self._targets.stretch(start, end), foreign=everywhere)) as hits:
            async for hit in hits:
                yield hit

    async def _made(
        self, points: Sequence[Watchpoint], start: Position, end: Position, *, foreign: bool = False
    ) -> AsyncGenerator[Hit, None]:
        """The hits of watchpoints, each with the position of the instruction that is about to make the access."""
        async with aclosing(self._cursor.scan(points, start, end, foreign=foreign)) as hits:
            async for hit in hits:
                yield replace(hit, position=await self._cursor.before(hit.position))

    async def _once(self, to: Address | None, where: str | None) -> tuple[Sequence[Breakpoint], Accept | None]:
        """A breakpoint for one movement, and what judges its condition."""
        if to is None:
            if where:
                raise UsageError("'where' is the condition of a location; name that, too.")
            return (), None
        return queries.conditional(await self._targets.places(to, where))

    async def _change(
        self, verb: str, target: Address, size: int | None, at: Place | None, everywhere: bool
    ) -> queries.Change:
        """What the command ``verb`` of the shell tells of ``target``."""
        text = await self._targets.text(target, size)
        async with self._unmoved_if_refused():
            if at is not None:
                await self.seek(at)
            return await queries.change(self._session, verb, text, everywhere=everywhere)

    @asynccontextmanager
    async def _unmoved_if_refused(self) -> AsyncIterator[None]:
        """Whatever is refused inside leaves the cursor where it was."""
        here = self.position
        try:
            yield
        except RrdbgError:
            await self._cursor.seek(here)
            raise

    async def has_gdb(self) -> bool:
        """True if there is a GDB that knows the guest."""
        if self._debugger and self._debugger.alive:
            return True
        if self._gdb is None:
            return False
        try:
            await find_gdb(self._cursor.recording.manifest.invocation.architecture, self._gdb)
        except QemuLaunchError:
            return False
        return True

    async def debugger(self) -> Debugger:
        """The GDB on this cursor, started if there is none.

        :raises QemuLaunchError: it is not installed.
        :raises UsageError: there is to be none.
        """
        if self._gdb is None:
            raise UsageError("That needs a GDB, and the recording was opened without one.")
        if self._debugger is None or not self._debugger.alive:
            context = Debugger.on(self._cursor, self._gdb, self._symbols)
            self._debugger = await self._stack.enter_async_context(context)
            self._session.symbols = self._debugger.symbols
        return self._debugger
