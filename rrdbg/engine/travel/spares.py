"""Spare machines: QEMUs that are started while the user thinks, and wait where he will probably need one next.

A paused QEMU costs nothing but memory, and a start takes 0.2 s with a 256 MB guest. So when nothing has moved for a
moment, the spares of :mod:`rrdbg.model.travel.spare` are started one after another, as far as their number and memory
are allowed; who needs a machine takes the one that saves most. A spare is only given away while the snapshot that it
came from is still trusted. Nothing here may ever fail a movement: without spares it only takes longer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from rrdbg.engine.machines.source import Machines
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.snapshots.shelf import Shelf
from rrdbg.errors import RrdbgError
from rrdbg.links.memory import available, resident
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot
from rrdbg.model.travel.plan import Plan, Rates, plan_walk, price
from rrdbg.model.travel.process import Role, SpareLimits
from rrdbg.model.travel.spare import MEMORY_SHARE, Wish, unmet, wishes

IDLE_SECONDS = 0.2
"""How long nothing must have moved before a spare is started: a script's next command comes sooner."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Spare:
    """A machine that waits, and the snapshot that it was started on."""

    walker: Walker
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Taken:
    """A spare that is its taker's from now on, and the way to where he wants it."""

    walker: Walker
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Making:
    """A spare that is being made, and when it will probably be ready, by the monotonic clock."""

    wish: Wish
    task: asyncio.Task[None]
    ready: float


class Spares:
    """At most ``count`` spare machines for one cursor."""

    def __init__(self, launcher: Machines, shelf: Shelf, count: int) -> None:
        self._launcher = launcher
        self._shelf = shelf
        self._count = 0 if launcher.single else count
        self._waiting: list[_Spare] = []
        self._making: _Making | None = None
        self._work: asyncio.Task[None] | None = None
        self._given = False
        self._endings: set[asyncio.Task[None]] = set()
        self._origins: WeakKeyDictionary[Walker, Snapshot] = WeakKeyDictionary()

    @property
    def limits(self) -> SpareLimits:
        """How many there may be, and how much memory they may take now."""
        return SpareLimits(self._count, int((available() + self._memory()) * MEMORY_SHARE))

    def has(self, walker: Walker) -> bool:
        """True if ``walker`` is a spare."""
        return any(spare.walker is walker for spare in self._waiting)

    def settle(self, cursor: Position) -> None:
        """Nothing moves any more, with the cursor at ``cursor``: when that lasts a moment, start what is missing."""
        given, self._given = self._given, False
        if not self._count:
            for spare in self._waiting[:-1] if given else list(self._waiting):
                self._discard(spare)
        else:
            self.stir()
            self._work = asyncio.create_task(self._provide(cursor))

    def stir(self) -> None:
        """Something moves: begin no more spares. The one that is being made goes on, it may be the one needed."""
        if self._work:
            self._work.cancel()
            self._work = None

    def abandon(self) -> None:
        """Something was interrupted: also give up the spare that is being made."""
        self.stir()
        if self._making:
            self._making.task.cancel()

    async def ready(self) -> None:
        """Wait until those are there that the last movement gave a reason for."""
        if self._work:
            await asyncio.wait((self._work,))

    async def take(self, target: Position, less_than: float, rates: Rates) -> Taken | None:
        """The machine from which ``target`` is reached soonest, and how, if that takes ``less_than`` these seconds.

        It is the caller's then. One that is just being made is waited for if it is the best; else that is given up.
        """
        if making := self._making:
            wait = max(making.ready - time.monotonic(), 0.0)
            if wait + self._price(making.wish.icount, target, rates) < min(less_than, self._best(target, rates)[1]):
                await asyncio.wait((making.task,))
            else:
                making.task.cancel()
        spare, seconds = self._best(target, rates)
        if spare is None or seconds >= less_than:
            return None
        self._waiting.remove(spare)
        return Taken(spare.walker, plan_walk(self._shelf.timeline, spare.walker.position, target))

    def came_from(self, walker: Walker, snapshot: Snapshot) -> None:
        """Note on which snapshot a machine was started, which may be given back here one day."""
        self._origins[walker] = snapshot

    async def give(self, walker: Walker) -> None:
        """Keep a machine that somebody has done with; if there is no room, the one that waits for longest goes.

        Where there are to be no spares one is kept all the same, for the end of this movement and for the next one: who
        goes on from write to write needs it each time.
        """
        snapshot = self._origins.get(walker)
        if self._launcher.single or snapshot is None or not walker.machine.usable:
            await walker.machine.close()
            return
        self._given = True
        self._waiting.append(_Spare(walker, snapshot))
        while len(self._waiting) > 1 and not self._has_room(more=False):
            self._discard(self._waiting[0])

    async def close(self) -> None:
        """End them all."""
        self.abandon()
        tasks = [*([self._making.task] if self._making else []), *self._endings]
        waiting, self._waiting = self._waiting, []
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for spare in waiting:
                await spare.walker.machine.close()

    def _best(self, target: Position, rates: Rates) -> tuple[_Spare | None, float]:
        """The spare from which ``target`` is reached soonest, and in how many seconds."""
        for spare in [spare for spare in self._waiting if not self._is_sound(spare)]:
            self._discard(spare)
        best, least = None, math.inf
        for spare in self._waiting:
            seconds = self._price(spare.walker.position.icount, target, rates)
            if seconds < least:
                best, least = spare, seconds
        return best, least

    def _price(self, icount: int, target: Position, rates: Rates) -> float:
        timeline = self._shelf.timeline
        if icount > timeline.landing_before(target):
            return math.inf
        here = Position(icount)
        return price(plan_walk(timeline, here, target), here, rates)

    def _is_sound(self, spare: _Spare) -> bool:
        """False if its QEMU has ended, or its snapshot was dropped or is distrusted since."""
        return spare.walker.machine.usable and self._is_trusted(spare.snapshot)

    def _is_trusted(self, snapshot: Snapshot) -> bool:
        known = self._shelf.timeline.snapshot_at(snapshot.icount)
        return known is not None and known.files == snapshot.files and known.sound is not False

    async def _provide(self, cursor: Position) -> None:
        """Start the spares that a user at ``cursor`` may need and that are not there, one after another."""
        await asyncio.sleep(IDLE_SECONDS)
        while True:
            if self._making:
                await asyncio.wait((self._making.task,))
            wish = self._next(cursor)
            if wish is None:
                return
            task = asyncio.create_task(self._make(wish))
            run = self._shelf.timeline.cost.seconds(wish.snapshot.icount, wish.icount)
            self._making = _Making(wish, task, time.monotonic() + (wish.snapshot.load_seconds or 0.0) + run)
            task.add_done_callback(self._made)
            # To be cancelled here does not end the spare.
            await asyncio.wait((task,))

    def _next(self, cursor: Position) -> Wish | None:
        """The next spare to make, once there is room for it; what nobody wishes for makes room, the oldest first."""
        for spare in [spare for spare in self._waiting if not self._is_sound(spare)]:
            self._discard(spare)
        wanted = wishes(self._shelf.timeline, cursor)[: self._count]
        icounts = [spare.walker.position.icount for spare in self._waiting]
        missing, unneeded = unmet(wanted, icounts)
        spendable = [self._waiting[index] for index in unneeded]
        while not self._has_room(more=bool(missing)):
            if not spendable:
                # Memory has become scarce: what is there must fit, and nothing more is made.
                if self._waiting and not self._has_room(more=False):
                    self._discard(self._waiting[0])
                    continue
                return None
            self._discard(spendable.pop(0))
        return missing[0] if missing else None

    def _has_room(self, *, more: bool) -> bool:
        """True if the spares, and one ``more``, are within the limits."""
        limits = self.limits
        sizes = [resident(spare.walker.machine.process.pid) for spare in self._waiting]
        # One more takes as much as the largest machine there is now.
        largest = max((resident(running.walker.machine.process.pid) for running in self._launcher.running), default=0)
        return len(sizes) + more <= limits.count and sum(sizes) + more * largest <= limits.memory

    def _memory(self) -> int:
        return sum(resident(spare.walker.machine.process.pid) for spare in self._waiting)

    async def _make(self, wish: Wish) -> None:
        walker, seconds = await self._launcher.start(wish.snapshot, self._shelf.timeline, Role.SPARE)
        try:
            self._shelf.loaded(wish.snapshot, seconds)
            await walker.run_to(wish.icount)
        except BaseException:
            await walker.machine.close()
            raise
        self.came_from(walker, wish.snapshot)
        self._waiting.append(_Spare(walker, wish.snapshot))

    def _made(self, making: asyncio.Task[None]) -> None:
        """One is made, or not: then there will be no more, since whatever is wrong is for a movement to find out."""
        self._making = None
        if making.cancelled():
            return
        error = making.exception()
        if isinstance(error, (RrdbgError, OSError)):
            self._count = 0
            _log.warning("No more spare processes are started: %s", error)
        elif error:
            raise error

    def _discard(self, spare: _Spare) -> None:
        """End a spare, beside whatever goes on."""
        self._waiting.remove(spare)
        ending = asyncio.create_task(spare.walker.machine.close())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
