"""Entries and returns of a function, with what is read at each, by QEMU's plugin in one pass without a stop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.queries.calling import Ways, returning, way_back
from rrdbg.engine.queries.trace import readings_of, told_values, values_at
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.ledger import Ledger, Page
from rrdbg.engine.search.ledger_sieve import UntoldError
from rrdbg.engine.search.roots import Roots, UnknownRootError
from rrdbg.errors import LinkError
from rrdbg.links.address_space import space_in_use
from rrdbg.links.machine import Machine
from rrdbg.links.reading import Reading, Value
from rrdbg.links.tally import CallReturn, Place, Sighting
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Breakpoint, NotedHit
from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.program.tracing import Conversion, TracedValue, Tracepoint
from rrdbg.model.timeline.position import Position

_STOPS_OF_A_WINDOW = 10
"""A machine that looks at one place of a stretch takes as long as so many stops of one that looks at all of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen on the way into a call: at the entry the way ``back``, the return address and the stack pointer
    there; behind the prologue the arguments.
    """

    back: tuple[int, int] | None
    arguments: tuple[TracedValue, ...]


@dataclass(slots=True)
class Entries:
    """Reads what there is at the entry and behind the prologue."""

    entry: int
    tracepoints: Sequence[Tracepoint]
    forms: Sequence[Conversion]
    points: dict[int, Tracepoint] = field(init=False)

    def __post_init__(self) -> None:
        self.points = {point.address: point for point in self.tracepoints if point.expressions}

    async def __call__(self, machine: Machine, point: Breakpoint) -> Seen:
        """What ``machine`` shows, which stands at ``point``."""
        tracepoint = self.points.get(point.address)
        return Seen(
            await way_back(machine) if point.address == self.entry else None,
            await values_at(machine, tracepoint, self.forms) if tracepoint else (),
        )


@dataclass(frozen=True, slots=True)
class CallPage:
    """A part of a stretch, and in their order all ``hits`` there; None if they are not known.

    Those of entries and arguments have :class:`Seen` as their note, the others what
    :func:`~rrdbg.engine.queries.calling.returning` gives.
    """

    start: Position
    end: Position
    hits: Sequence[NotedHit] | None


class CallLedger:
    """Sees what ``entries`` reads at ``breakpoints``, and the returns of calls; make it with :meth:`of`."""

    def __init__(
        self, replay: Replay, entries: Entries, breakpoints: Sequence[Breakpoint], ways: Ways, roots: Roots
    ) -> None:
        self._replay = replay
        self._entries = entries
        self._breakpoints = breakpoints
        self._ways = ways
        self._roots = roots
        self._back = ways.at_entry
        self._read: dict[int, list[Reading]] = {}
        self._ledger: Ledger

    @classmethod
    async def of(cls, replay: Replay, entries: Entries, breakpoints: Sequence[Breakpoint]) -> CallLedger | None:
        """One for ``replay``; None if its QEMU's plugins cannot read what is needed."""
        layout = (await replay.machine()).register_file
        made = cls(replay, entries, breakpoints, Ways(layout), Roots(layout, replay.timeline, replay.start_at))
        readings = {point.address: made._own(point.address) for point in breakpoints}
        at_return = {-1: made._ways.at_return}  # so that their registers are known, too
        judging = await replay.accelerator.judging({}, layout, {**readings, **at_return}, made._roots.readings)
        if judging is None:
            return None
        made._ledger = Ledger(replay.accelerator, replay.timeline, (), judging)
        return made

    def returning(self, addresses: Collection[int]) -> None:
        """Calls that have begun return to these ``addresses``."""
        at_return = self._ways.at_return
        known = [CallReturn(at_return, address) for address in sorted({0, *addresses})]
        points: list[Place] = [*self._breakpoints, *known]
        self._ledger.points = points

    async def pages(
        self, start: Position, end: Position, on_progress: ProgressCallback
    ) -> AsyncGenerator[CallPage, None]:
        """The stretch from ``start`` to ``end``, in order; between two of them say what is :meth:`returning`."""
        async with aclosing(self._ledger.pages(start, end, on_progress)) as pages:
            async for page in pages:
                yield CallPage(page.start, page.end, await self._hits(page))

    async def _hits(self, page: Page) -> list[NotedHit] | None:
        if page.sightings is None or page.survey is None:
            return None
        hits: list[NotedHit] = []
        doubtful: list[Sighting] = []
        for sighting in page.sightings:
            position = page.survey.position(sighting)
            try:
                if position is None:
                    raise UntoldError
                hits.append(await self._hit(sighting, position))
            except (UntoldError, UnknownRootError):
                doubtful.append(sighting)
        if len(doubtful) * _STOPS_OF_A_WINDOW > max(len(hits), _STOPS_OF_A_WINDOW):
            return None
        entered = [hit for hit in hits if isinstance(hit.note, Seen)]
        if entered and not await self._confirmed(entered[len(entered) // 2]):
            return None
        at = page.survey.icount
        plain = self._replay.timeline.deliveries
        for icount in {at(sighting.executed) for sighting in doubtful}:
            start = max(page.start, Position(plain.plain_at_or_before(icount)))
            end = min(page.end, Position(plain.plain_after(icount)))
            seen = {each.pc for each in page.sightings if start.icount <= at(each.executed) < end.icount}
            hits = [hit for hit in hits if not start <= hit.position < end] + await self._looked(seen, start, end)
        return sorted(hits, key=lambda hit: hit.position) if doubtful else hits

    async def _looked(self, addresses: Collection[int], start: Position, end: Position) -> list[NotedHit]:
        """What the stub sees at ``addresses`` on a short stretch, at which the plugin has seen something."""
        own = {point.address for point in self._breakpoints}

        async def note(machine: Machine, point: Breakpoint) -> object:
            return await (self._entries(machine, point) if point.address in own else returning(machine))

        points = [replace(self._breakpoints[0], number=-1 - n, address=a) for n, a in enumerate(sorted(addresses))]
        found = self._replay.scan(points, start, end, note, foreign=True)
        return [hit async for hit in found if isinstance(hit, NotedHit)]

    async def _hit(self, sighting: Sighting, position: Position) -> NotedHit:
        point, note = sighting.point, None
        own = self._ways.at_return if isinstance(point, CallReturn) else self._own(point.address)
        values, common = sighting.values[: len(own)], sighting.values[len(own) :]
        root = await self._roots.root(common, position)
        if isinstance(point, CallReturn):
            if not all(isinstance(value, int) for value in values):
                raise UntoldError
            # Which breakpoint it would have been says nothing.
            return NotedHit(position, sighting.pc, self._breakpoints[0], space=root, note=values)
        assert isinstance(point, Breakpoint), "nothing else is looked for"
        back = None
        if point.address == self._entries.entry:
            back = await self._way_back(values[: len(self._back)], position)
            values = values[len(self._back) :]
        note = Seen(back, told_values(values))
        return NotedHit(position, point.address, point, space=root, note=note)

    async def _way_back(self, values: tuple[Value, ...], position: Position) -> tuple[int, int]:
        back = self._ways.back(values)
        if isinstance(back, int):
            await self._look_at_mode(back, position)
            back = self._ways.back(values)
        if not isinstance(back, tuple):
            raise UntoldError
        return back

    async def _look_at_mode(self, selector: int, position: Position) -> None:
        """Find out whether the code segment ``selector`` at ``position`` is one of 64-bit code."""

        async def look(walker: Walker) -> None:
            await walker.walk_to(position)
            segment = await walker.machine.code_segment()
            if segment and segment.mode is CodeMode.BITS64:
                self._ways.long_selectors.add(selector)

        await self._replay.visit(position, look)

    async def _confirmed(self, hit: NotedHit) -> bool:
        """Whether a machine sees ``hit`` as the plugin has told it; if not, that is believed no more."""

        async def look(walker: Walker) -> NotedHit:
            await walker.walk_to(hit.position)
            machine = walker.machine
            assert isinstance(hit.point, Breakpoint)
            note = await self._entries(machine, hit.point)
            space = await space_in_use(machine)
            return NotedHit(walker.position, await machine.pc(), hit.point, space=space, note=note)

        right = await self._replay.visit(hit.position, look) == hit
        if not right:
            self._replay.accelerator.give_up(LinkError(f"it has told of a call at {hit.position}, and it is another"))
        return right

    def _own(self, address: int) -> list[Reading]:
        """What is read at a breakpoint at ``address``."""
        if address in self._read:
            return self._read[address]
        tracepoint = self._entries.points.get(address)
        arguments = readings_of(tracepoint.expressions, self._entries.forms) if tracepoint else []
        self._read[address] = [*(self._back if address == self._entries.entry else ()), *arguments]
        return self._read[address]
