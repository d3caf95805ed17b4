"""All calls of a function on a stretch of the timeline: from where, with which arguments, and what they returned.

Two passes over one piece of the stretch after another, so that the first calls are told early. The first pass stops at
the function's entry, where the stack pointer and the return address are known, and where its parameters can be read,
which may be some instructions later. The second stops at all the return addresses; a call has returned when the guest
comes to its own with the stack pointer that it must have then.

Where there are many calls QEMU's plugin, if it can read registers and memory, reads the same at entries and at returns
in one pass (:mod:`rrdbg.engine.queries.call_ledger`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from rrdbg.engine.machines.progress import Progress
from rrdbg.engine.queries.call_ledger import CallLedger, Entries, Seen
from rrdbg.engine.queries.calling import returning
from rrdbg.engine.replay import Replay
from rrdbg.links.machine import Machine
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.stop import Breakpoint, NotedHit
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.program.tracing import Conversion, TracedValue, Tracepoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

FIRST_SECONDS = 0.5
"""Of replay: how much is searched before the first calls are told; each piece then is twice as long."""

FIRST_CALLS = 64
"""So many calls end a piece, too: each takes some milliseconds, and nothing is told meanwhile. Then twice as many."""

MOST_CALLS = 2048
"""A piece has no more, so that something is told every few seconds."""


@dataclass(slots=True)
class Call:
    """One call: where its first instruction is about to be executed, and where it came from.

    ``arguments`` are its parameters' values, or why one cannot be told; ``returned`` is the result register when it has
    returned at ``end``, both None if it does not within the stretch. ``space`` is the root of the page tables in use.
    """

    position: Position
    return_address: int
    sp_after: int
    arguments: tuple[TracedValue, ...] = ()
    returned: int | None = None
    end: Position | None = None
    space: int | None = None


async def calls(
    replay: Replay,
    entry: int,
    points: Sequence[Tracepoint],
    forms: Sequence[Conversion],
    start: Position,
    end: Position,
    space: AddressSpace | None = None,
    task: TaskRuns | None = None,
    on_searched: Callable[[Position, int], None] = lambda position, unfinished: None,
) -> AsyncGenerator[Call, None]:
    """The calls of the function at ``entry`` that begin from ``start`` on and before ``end``.

    Only those in ``space``, and of ``task``, where there is one.

    A call is told when the piece is searched in which it returns, those of a piece in order, and at the end those that
    do not return. ``on_searched`` is told how far all calls are told, but for so many that have not returned there.
    ``points`` say where and how to read its parameters, and ``forms`` how they will be printed.

    :raises UsageError: how calls are made on the guest's architecture is not known.
    """
    search = _Search(replay, Entries(entry, points, forms), start, end, space, task)
    low = start
    async with aclosing(search.stopping(low, end)) as pieces:
        async for low in pieces:
            for call in search.returned():
                yield call
            on_searched(low, len(search.begun))
            if search.is_dense and space is None:
                break
    if low < end:
        async with aclosing(search.seen(low, end)) as pieces:
            async for low in pieces:
                for call in search.returned():
                    yield call
                on_searched(low, len(search.begun))
    for call in search.begun:
        yield call


class _Search:
    """The calls from ``start`` to ``end``; those that have ``begun`` and not returned are kept, in order."""

    def __init__(
        self,
        replay: Replay,
        entries: Entries,
        start: Position,
        end: Position,
        space: AddressSpace | None,
        task: TaskRuns | None,
    ) -> None:
        self._replay = replay
        self._entries = entries
        self._bar = _Bar(replay, start, end)
        self._space = space
        self._task = task
        self._latest: dict[int | None, Call] = {}
        self.begun: list[Call] = []
        self.is_dense = False
        """True if a piece was ended since there were many calls in it."""

    def returned(self) -> list[Call]:
        """The calls that have returned since this was asked last, in order."""
        done = [call for call in self.begun if call.end]
        self.begun = [call for call in self.begun if call.end is None]
        return done

    async def stopping(self, low: Position, end: Position) -> AsyncGenerator[Position, None]:
        """Search one piece after another with a stop at each entry and each return; each time, up to where."""
        seconds, most = FIRST_SECONDS, FIRST_CALLS
        timeline = self._replay.timeline
        while low < end:
            high = await self._entered(low, _piece_end(timeline, low, end, seconds), most)
            if self.begun:
                returns = _Returns(self.begun)
                points = self._breakpoints(returns.addresses)
                with self._bar.part(low, high, 1):
                    first = max(low, self.begun[0].position)
                    async for hit in self._replay.scan(points, first, high, _returning):
                        assert isinstance(hit, NotedHit)
                        returns.end(hit)
            # Where calls are frequent a piece is shorter than was thought, and workers need not look beyond the next.
            seconds = 2 * min(seconds, timeline.cost.seconds(low.icount, high.icount))
            low, most = high, min(2 * most, MOST_CALLS)
            yield low

    async def _entered(self, low: Position, high: Position, most: int) -> Position:
        """Note the calls from ``low`` to ``high`` that begin there, or up to where there were too ``many``."""
        old = len(self.begun)
        points = self._breakpoints({self._entries.entry, *self._entries.points})
        with self._bar.part(low, high, 0):
            async with aclosing(self._replay.scan(points, low, high, self._entries)) as hits:
                async for hit in hits:
                    assert isinstance(hit, NotedHit)
                    assert isinstance(hit.note, Seen)
                    if hit.note.back and len(self.begun) - old >= most and hit.exact:
                        # The next piece begins with this one.
                        self.is_dense = True
                        return hit.position
                    self._enter(hit)
        return high

    def _enter(self, hit: NotedHit) -> None:
        """A call begins, or its arguments can be read."""
        seen = hit.note
        assert isinstance(seen, Seen)
        if seen.back:
            call = self._latest[hit.space] = Call(hit.position, *seen.back, space=hit.space)
            self.begun.append(call)
        here = self._latest.get(hit.space)
        if seen.arguments and here and not here.arguments:
            here.arguments = seen.arguments

    async def seen(self, low: Position, end: Position) -> AsyncGenerator[Position, None]:
        """As :meth:`stopping`, in one pass by QEMU's plugin without a stop, where it can be had and is right."""
        breakpoints = self._breakpoints({self._entries.entry, *self._entries.points})
        ledger = await CallLedger.of(self._replay, self._entries, breakpoints)
        if ledger:
            ledger.returning({call.return_address for call in self.begun})
            found = ledger.pages(low, end, self._bar.at)
            with self._bar.alone():
                async with self._replay.still(), aclosing(found) as pages:
                    async for page in pages:
                        if page.hits is None:
                            async with aclosing(self.stopping(page.start, page.end)) as pieces:
                                async for low in pieces:
                                    yield low
                        else:
                            self._take(page.hits)
                            low = page.end
                            yield low
                        ledger.returning({call.return_address for call in self.begun})
            return
        async with aclosing(self.stopping(low, end)) as pieces:
            async for low in pieces:
                yield low

    def _take(self, hits: Sequence[NotedHit]) -> None:
        meant = [hit for hit in hits if hit.belongs]
        for hit in meant:
            if isinstance(hit.note, Seen):
                self._enter(hit)
        returns = _Returns(self.begun)
        for hit in meant:
            if not isinstance(hit.note, Seen):
                returns.end(hit)

    def _breakpoints(self, addresses: Iterable[int]) -> list[Breakpoint]:
        return [
            Breakpoint(-1 - number, address, self._space, self._task)
            for number, address in enumerate(sorted(addresses))
        ]


def _piece_end(timeline: Timeline, low: Position, end: Position, seconds: float) -> Position:
    """A snapshot so many seconds of replay behind ``low``, or the ``end``."""
    places = (Position(snapshot.icount) for snapshot in timeline.snapshots)
    return next(
        (here for here in places if low < here < end and timeline.cost.seconds(low.icount, here.icount) >= seconds), end
    )


class _Bar:
    """Tells whoever watches ``replay`` how much of a stretch is searched, each piece of it in two passes."""

    def __init__(self, replay: Replay, start: Position, end: Position) -> None:
        self._replay = replay
        self._start = start.icount
        self._whole = replay.timeline.cost.seconds(start.icount, end.icount)
        self._shown = 0.0
        self._report = replay.on_progress

    def at(self, icount: int) -> None:
        """All before ``icount`` is searched."""
        self._shown = max(self._shown, self._replay.timeline.cost.seconds(self._start, icount))
        self._report(Progress(icount, self._shown, self._whole))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Of what machines do inside that look at a place or two, nothing is told."""
        self._report = self._replay.on_progress
        self._replay.on_progress = lambda progress: None
        try:
            yield
        finally:
            self._replay.on_progress = self._report

    @contextmanager
    def part(self, low: Position, high: Position, number: int) -> Iterator[None]:
        """Pass ``number``, from 0 on, over a piece is made inside."""
        seconds, report = self._replay.timeline.cost.seconds, self._report
        before, length = seconds(self._start, low.icount), seconds(low.icount, high.icount)

        def tell(progress: Progress) -> None:
            here = min(max(progress.icount, low.icount), high.icount)
            done = before + (number * length + seconds(low.icount, here)) / 2
            self._shown = max(self._shown, done)
            report(Progress(here, self._shown, self._whole))

        before_this, self._replay.on_progress = self._replay.on_progress, tell
        try:
            yield
        finally:
            self._replay.on_progress = before_this


async def _returning(machine: Machine, point: Breakpoint) -> tuple[int, int]:
    return await returning(machine)


class _Returns:
    """Notes the results of calls that have returned."""

    def __init__(self, found: Sequence[Call]) -> None:
        self._open: dict[tuple[int, int, int | None], list[Call]] = {}
        self._left = iter([*found, None])
        self._next = next(self._left)
        self.addresses = {call.return_address for call in found}

    def end(self, hit: NotedHit) -> None:
        while self._next and self._next.position < hit.position:
            key = self._next.return_address, self._next.sp_after, _user_only(self._next.sp_after, self._next.space)
            self._open.setdefault(key, []).append(self._next)
            self._next = next(self._left)
        assert isinstance(hit.note, tuple)
        sp, result = hit.note
        for call in self._open.pop((hit.pc, sp, _user_only(sp, hit.space)), ()):
            # An earlier one with the same stack was left without a return, by a longjmp or the like.
            call.returned, call.end = result, hit.position


def _user_only(sp: int, space: int | None) -> int | None:
    """``space`` where it tells stacks apart: a process's may lie where others' do, the kernel's has a place alone."""
    return None if sp >> 63 else space
