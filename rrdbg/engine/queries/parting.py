"""Where two recordings of a guest part: the first difference of their states, and the first of the ways they go.

Both are halved like any predicate (:mod:`rrdbg.engine.queries.bisect` does that for one recording): the two cursors are
brought to the same icount, and what is there is compared.

* *State*: all registers and all of RAM. What is found is a place where two equal guests become different; the first
  one, unless they became equal again. A device's own state is not seen before it comes to the guest.
* *Flow*: the pcs of the next :data:`STRETCH` single steps. Guests that hold different data go the same way for long;
  and two that have parted may by chance be at the same instruction, but hardly for a whole stretch.

The last step is exact in both cases: from the last place where they are alike both are stepped side by side.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from rrdbg.engine.queries.bisect import ProbeListener
from rrdbg.engine.queries.compare import difference
from rrdbg.engine.replay import Replay
from rrdbg.errors import Divergence, Undecided
from rrdbg.model.hits.bisection import Bisection, Probe, Verdict
from rrdbg.model.timeline.beside import Row, Sight, alike
from rrdbg.model.timeline.difference import Difference, Parting, common
from rrdbg.model.timeline.events import NOTABLE, EventKind, GuestEvent
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.history import history

STRETCH = 64
"""Single steps whose pcs are compared at each probe of the flow."""

T = TypeVar("T")
Compare = Callable[[], Awaitable[Difference | None]]


class Pair:
    """Two opened recordings, ``good`` and ``bad``, whose cursors are moved together."""

    def __init__(self, good: Replay, bad: Replay) -> None:
        self.good = good
        self.bad = bad

    @property
    def end(self) -> Position:
        """Where the shorter one ends."""
        return min(self.good.timeline.end, self.bad.timeline.end)

    def around(self) -> tuple[Position, Position]:
        """The last interrupt or exception that both have, and the first that only one has; the end where there is none.

        There they certainly go different ways. Two that idle may stand at one instruction again long after that.
        """
        both = self.good.timeline.deliveries, self.bad.timeline.deliveries
        count = alike(*both)
        last = Position(both[0].icounts[count - 1]) if count else START
        following = [deliveries.icounts[count] for deliveries in both if len(deliveries) > count]
        return last, min(Position(min(following)), self.end) if following else self.end

    async def state(self) -> Difference | None:
        """How registers and RAM differ at the cursors."""
        return await difference(self.good, self.bad)

    async def pcs(self) -> Difference | None:
        """Where the cursors are, if that, or their instruction, is not the same."""
        pcs = await both(self.good.pc(), self.bad.pc())
        positions = self.good.position, self.bad.position
        return Difference(positions, {"pc": pcs}) if pcs[0] != pcs[1] or positions[0] != positions[1] else None

    async def flow(self) -> Difference | None:
        """How the next :data:`STRETCH` steps differ; moves the cursors."""
        for _ in range(STRETCH):
            found = await self.pcs()
            if found or self.good.position >= self.end:
                return found
            await self.step()
        return await self.pcs()

    async def seek(self, position: Position) -> None:
        """Bring both cursors to ``position``."""
        await both(self.good.seek(position), self.bad.seek(position))

    async def step(self) -> None:
        """Step both."""
        await both(self.good.stepi(), self.bad.stepi())

    async def first_state(self, bisection: Bisection, on_probe: ProbeListener) -> Parting:
        """Where their states begin to differ, as :meth:`_part`."""
        return await self._part(bisection, self.state, self.state, on_probe)

    async def first_flow(self, bisection: Bisection, on_probe: ProbeListener) -> Parting:
        """Where they begin to go different ways, as :meth:`_part`."""
        return await self._part(bisection, self.flow, self.pcs, on_probe)

    async def first_flow_of_all(self, on_probe: ProbeListener, start: Position = START) -> Parting:
        """The same in all of them from ``start`` on, by what the logs tell of it already.

        :raises Undecided: as :meth:`_part`, or one takes an interrupt at ``start`` itself.
        """
        last, parted = self.around()
        if parted <= start:
            raise Undecided(f"At {start} one of the two takes an interrupt or exception, and the other does not.")
        if start < last < parted:
            await self.seek(last)
            start = last if await self.flow() is None else start
        return await self.first_flow(Bisection.between(start, parted), on_probe)

    async def _part(self, bisection: Bisection, look: Compare, step: Compare, on_probe: ProbeListener) -> Parting:
        """Halve by what ``look`` finds, and then step to the first difference that ``step`` finds.

        :raises Undecided: they differ at the good end already, or do not at the bad one.
        """
        began, probes = time.monotonic(), 0

        async def probe(position: Position) -> Probe:
            nonlocal probes
            since = time.monotonic()
            await self.seek(position)
            found = await look()
            probes += 1
            verdict, told = (Verdict.BAD, "different") if found else (Verdict.GOOD, "the same")
            return Probe(position, verdict, told, time.monotonic() - since)

        for position, expected in ((bisection.good, Verdict.GOOD), (bisection.bad, Verdict.BAD)):
            seen = await probe(position)
            on_probe(seen, bisection)
            if seen.verdict is not expected:
                raise Undecided(f"At {position} the two are {seen.value}{_ADVICE[seen.verdict]}")
        while (middle := bisection.next(common(self.good.timeline, self.bad.timeline))) is not None:
            seen = await probe(middle)
            bisection = bisection.after(seen)
            on_probe(seen, bisection)
        await self.seek(bisection.good)
        while True:
            before = self.good.position
            await self.step()
            if found := await step():
                return Parting(before, found, probes, time.monotonic() - began)
            if self.good.position >= self.end:
                raise Divergence(
                    f"The two differed after {bisection.good} in one pass, and not in the next: one of them does not "
                    "replay exactly. 'rrdbg verify' checks them."
                )


def events_beside(first: Replay, second: Replay, most: int) -> tuple[int, list[Row]]:
    """How many events from outside two recordings both have before they part; and as rows the last ``most`` of these,
    and the next ``most`` of each.

    :raises LogError: a log is damaged.
    """
    pairs = _told(first, second)
    last: deque[GuestEvent] = deque(maxlen=most)
    count = 0
    parted: tuple[GuestEvent | None, GuestEvent | None] | None = None
    for pair in pairs:
        if pair[0] is None or pair[0] != pair[1]:
            parted = pair
            break
        last.append(pair[0])
        count += 1
    rows = [Row(True, Sight.of(event), Sight.of(event)) for event in last]
    if parted is not None:
        following = itertools.islice(itertools.chain((parted,), pairs), most)
        rows += [Row(False, _sight(ours), _sight(theirs)) for ours, theirs in following]
    return count, rows


def different_events(good: Replay, bad: Replay) -> tuple[GuestEvent | None, GuestEvent | None] | None:
    """The first event from outside that only one of two recordings has, or has in another way; None if there is none.

    :raises LogError: a log is damaged.
    """
    return next((pair for pair in _told(good, bad) if pair[0] != pair[1]), None)


def _sight(event: GuestEvent | None) -> Sight | None:
    return Sight.of(event) if event else None


def _told(first: Replay, second: Replay) -> Iterator[tuple[GuestEvent | None, GuestEvent | None]]:
    """The events of both, side by side; None where one has no more."""
    ours, theirs = (history(replay.recording.layout.log, _TOLD) for replay in (first, second))
    return itertools.zip_longest(ours, theirs)


_TOLD = NOTABLE | {EventKind.RANDOM}

_ADVICE = {
    Verdict.BAD: ": what was loaded is not the same, or they part before; compare from another --from on.",
    Verdict.GOOD: ": if they differed before, and met again, choose an earlier --to.",
}


async def both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, T]) -> tuple[T, T]:
    """The results of two things done at once; where one fails the other is ended before its error is raised."""
    tasks = [asyncio.create_task(first), asyncio.create_task(second)]
    try:
        return tuple(await asyncio.gather(*tasks))  # type: ignore[return-value]  # there are two
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
