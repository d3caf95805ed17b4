"""What is done for the recording while nothing moves and its user thinks: snapshots are proved, and laid more densely.

Neither may delay whoever moves next: it is given up then, and what was done until then stays.
"""

from __future__ import annotations

import asyncio
import logging

from rrdbg.engine.machines.source import Machines
from rrdbg.engine.snapshots.gaps import Gaps
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.snapshots.prover import prove_next
from rrdbg.engine.travel.spares import Spares
from rrdbg.errors import RrdbgError
from rrdbg.links.unbroken import unbroken
from rrdbg.model.timeline.position import Position

THINKING_SECONDS = 3.0
"""How long nothing must have moved, and no spare be wanted, before it begins."""

_log = logging.getLogger(__name__)


class Idle:
    """That work, for who may have ``spares``: a script has none, and is left alone."""

    def __init__(self, launcher: Machines, keeper: Keeper, spares: Spares) -> None:
        self._launcher = launcher
        self._keeper = keeper
        self._spares = spares
        self._gaps = Gaps(launcher, keeper)
        self._wanted = not launcher.single
        self._work: asyncio.Task[None] | None = None

    def begin(self, cursor: Position) -> None:
        """Nothing moves any more, with the cursor at ``cursor``."""
        if self._wanted and self._spares.limits.count:
            self._work = asyncio.create_task(self._improve(cursor))

    async def stop(self) -> None:
        """Something is to move: give up what is being done, and wait until it is."""
        work, self._work = self._work, None
        if work:
            work.cancel()
            await unbroken(asyncio.wait((work,)))  # it may be saving, which takes some 0.1 s

    async def done(self) -> None:
        """Wait until there is no more to do, or it was given up."""
        if self._work:
            await asyncio.wait((self._work,))

    async def _improve(self, cursor: Position) -> None:
        await self._spares.ready()
        await asyncio.sleep(THINKING_SECONDS)
        try:
            while await prove_next(self._launcher, self._keeper.shelf) or await self._gaps.fill_next(cursor):
                pass
        except (RrdbgError, OSError) as error:
            # Whatever is wrong is for a movement to find out, and to tell.
            self._wanted = False
            _log.debug("Nothing more is done while nothing moves: %s", error)
