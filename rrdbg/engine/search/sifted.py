"""A scan that asks the plugin where to look when there have been many stops."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.search import sieve as sieves
from rrdbg.engine.search.access import StartAt
from rrdbg.engine.search.scan import Accept, Scan
from rrdbg.engine.search.sieve import Sieve
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Hit, Point
from rrdbg.model.timeline.position import Position


async def sifted(
    walker: Walker,
    points: Sequence[Point],
    end: Position,
    start_at: StartAt,
    accept: Accept | None,
    sieve: Sieve | None,
    on_progress: ProgressCallback | None = None,
    *,
    include_start: bool = True,
    careful: bool = False,
) -> AsyncGenerator[Hit, None]:
    """The hits of a scan of ``walker``; after many stops ``sieve`` finds them, in other machines, if there is one.

    A hit at which ``walker`` does not stand was found by one of those.
    """
    deliveries = walker.timeline.deliveries

    def give_up(stops: int, left: int) -> bool:
        # Elsewhere a scan that gives up is certain of its icount alone.
        return sieve is not None and stops >= sieves.FEW and deliveries.is_plain(end.icount - left)

    scan = Scan(walker, points, end, start_at, accept, careful=careful, give_up=give_up)
    async with aclosing(scan.hits(on_progress, include_start=include_start)) as hits:
        async for hit in hits:
            yield hit
    if walker.position >= end:
        return
    if sieve and await sieve.can_judge(walker.machine.register_file):
        rest = sieve.hits(walker.position, end, on_progress)
    else:
        rest = Scan(walker, points, end, start_at, accept, careful=careful).hits(on_progress)
    async with aclosing(rest) as hits:
        async for hit in hits:
            yield hit
