"""What is found between the hits of a search: changes that no instruction has made.

A search finds what instructions write. Here the machine that looks at other places is brought to where two writes leave
a gap (:mod:`rrdbg.engine.search.chain`), for each watchpoint whose bytes a search asks for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

from rrdbg.engine.search.chain import Chain, Lying, chained, lying
from rrdbg.engine.search.follower import Follower
from rrdbg.engine.search.lives import Lives
from rrdbg.engine.travel.cursor import Cursor
from rrdbg.model.hits.stop import Hit, Watchpoint
from rrdbg.model.timeline.position import START, Position


class Unwritten:
    """Finds such changes for whoever moves ``cursor``; the recording's ``log`` tells what may have made one."""

    def __init__(self, cursor: Cursor, log: Path) -> None:
        self._cursor = cursor
        self._log = log

    async def among(
        self, lives: Lives, start: Position, end: Position, hits: AsyncGenerator[Hit, None]
    ) -> AsyncGenerator[Hit, None]:
        """``hits``, and between them the changes that no instruction has made.

        With several points all are found before the first is given, since those come in no order.
        """
        follower = self._follower()
        chains = {point.number: self._chain(point, follower) for point in chained(lives.wanted)}
        together: list[Hit] = []
        try:
            for chain in chains.values():
                await chain.begin(lives.known_from(chain.point, start, self._cursor.position))
            await follower.close()
            async with aclosing(hits):
                async for hit in hits:
                    own = None if hit.foreign else chains.get(hit.point.number)
                    found = [*await own.before(hit), hit] if own else [hit]
                    for each in found if len(chains) < 2 else ():
                        yield each
                    together += found if len(chains) > 1 else []
            for chain in chains.values():
                if lives.lasts(chain.point):
                    found = await chain.finish(end)
                    for each in found if len(chains) < 2 else ():
                        yield each
                    together += found if len(chains) > 1 else []
        finally:
            await follower.close()
        for hit in sorted(together, key=lambda hit: hit.position):
            yield hit

    async def first(
        self, lives: Lives, origin: Position, first: Hit | None, there: Mapping[int, Lying | None]
    ) -> Hit | None:
        """The first change between ``origin``, where ``there`` is what lay at each point, and the ``first`` hit.

        One that no instruction has made.
        """
        end = first.position if first else self._cursor.timeline.end
        follower, found = self._follower(), []
        try:
            for point in chained(lives.wanted):
                if not lives.lasts(point):
                    continue
                chain = self._chain(point, follower)
                chain.left = (origin, was.data) if (was := there[point.number]) else None
                own = first if first and first.point == point else None
                found += await (chain.before(own) if own else chain.finish(end))
        finally:
            await follower.close()
        ahead = [hit for hit in found if hit.position < end or first is None]
        return min(ahead, key=lambda hit: hit.position, default=None)

    async def last(self, lives: Lives, here: Position, last: Hit | None) -> Hit | None:
        """The last change between the ``last`` hit and ``here`` that no instruction has made."""
        follower, found = self._follower(), []
        stands = self._cursor.machine_position == here
        try:
            for point in chained(lives.wanted):
                right = await lying((await self._cursor.walker()).machine, point) if stands else None
                if stands and right is None:
                    continue
                if last and last.point == point:
                    since: Position | None = last.position
                    left = (last.position, last.change.after) if last.change else None
                else:
                    since = lives.known_from(point, last.position if last else START, here)
                    left = None
                found.append(await self._chain(point, follower).last(left, since, here, right))
        finally:
            await follower.close()
        return max((hit for hit in found if hit), key=lambda hit: hit.position, default=None)

    def _follower(self) -> Follower:
        return Follower(self._cursor.start_at, lambda: self._cursor.timeline, self._cursor.leave)

    def _chain(self, point: Watchpoint, follower: Follower) -> Chain:
        return Chain(point, follower, lambda: self._cursor.timeline, self._log)
