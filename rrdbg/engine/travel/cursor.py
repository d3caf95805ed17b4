"""The cursor: where the user is in a recording, and usually a machine that stands there.

Invariant: outside of :meth:`Cursor.moving` the position is exact, whatever happened inside. A machine that broke or
was left at an unknown place is dropped, and started again when it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from rrdbg.engine.machines.progress import ProgressListener
from rrdbg.engine.machines.source import Machines, Running
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.travel.driver import Driver
from rrdbg.engine.travel.idle import Idle
from rrdbg.engine.travel.spares import Spares
from rrdbg.errors import HostError, Interrupted, LinkError, Overshot, UsageError
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.travel.process import Role

Steps = Callable[[Walker, Position], Awaitable[None]]
"""Takes a walker to a position a little further on, in single steps."""

LAST_STEPS = 32
"""Instructions before the target of a jump that are stepped through if somebody wants to see them: 10 ms."""

_SETTLE_SECONDS = 3.0
"""How long a machine whose movement was broken off may take to tell where it stands; it takes a millisecond."""


class Cursor:
    """A position that is moved by bringing machines to it; ``report`` is called on the way.

    ``walker`` is a machine that stands where the cursor is to begin, if there is one already; at most ``spares`` more
    wait for the next movement.
    """

    def __init__(
        self, launcher: Machines, keeper: Keeper, report: ProgressListener, walker: Walker | None, spares: int = 0
    ) -> None:
        self._keeper = keeper
        self._launcher = launcher
        self.spares = Spares(launcher, keeper.shelf, spares)
        """The machines that wait to be needed."""
        self.idle = Idle(launcher, keeper, self.spares)
        """What is done while nothing moves."""
        self._driver = Driver(launcher, keeper, self.spares, report)
        self._walker = walker
        self.position = walker.position if walker else START
        """Where the cursor is; may be set to a place that is known to exist, the machine follows when it is needed."""
        self.moves = 0
        """How many movements are under way, one inside of the other."""
        self.on_rest: Callable[[Position], None] = lambda position: None
        """Is told where the cursor is whenever it has come to rest."""
        self.held: str | None = None
        """Why the cursor must stay where it is, as the sentence that whoever tries to move it is given."""

    @property
    def timeline(self) -> Timeline:
        """The recording's timeline, as far as it is known."""
        return self._keeper.timeline

    @property
    def machine_position(self) -> Position | None:
        """Where the cursor's machine stands, if there is one; not always at the cursor."""
        return self._walker.position if self._walker and self._walker.machine.usable else None

    def role(self, running: Running) -> Role:
        """What a machine is for by now: it may have become the cursor's since it was started, or a spare."""
        if running.walker is self._walker:
            return Role.CURSOR
        if running.role is Role.SPARE and not self.spares.has(running.walker):
            return Role.SEARCHING
        return running.role

    def progress(self, target: Position, start: Position) -> Callable[[int], None]:
        """What to call with each icount on the way from ``start`` to ``target``."""
        return self._driver.progress(target, start)

    async def go(self, target: Position) -> None:
        """Move to ``target``, which must be on the timeline."""
        if self._walker and not self._walker.machine.usable:
            await self.drop()
        walker = self._walker
        self._driver.cursor = self.position
        new = await self._driver.bring(walker, target)
        self.position = target
        if new is not walker:
            await self.adopt(new)

    async def go_watched(self, target: Position, steps: Steps) -> None:
        """Move to ``target``, by ``steps`` for the last of the way if that makes the way no longer."""
        base = Position(self.timeline.deliveries.plain_at_or_before(max(target.icount - LAST_STEPS, 0)))
        snapshot, here = self.timeline.nearest(target.icount), self.machine_position
        if (snapshot and snapshot.icount > base.icount) or (here and base < here <= target):
            await self.go(target)
            return
        await self.go(base)
        walker = await self.walker()
        try:
            await steps(walker, target)
            await walker.walk_to(target)  # it says so where there is no such phase
        except Overshot:
            await self.drop()
            await self.go(target)
        self.position = target

    async def start_at(self, icount: int) -> Walker:
        """A machine of its own at the plain ``icount``; the caller closes it.

        Where there is a single QEMU it is taken from the cursor, whose machine then is no longer usable.
        """
        self._driver.cursor = self.position
        return await self._driver.start_at(icount)

    async def leave(self, walker: Walker) -> None:
        """Have a machine of :meth:`start_at` wait for the next movement, if there is room for it; else end it."""
        await self.spares.give(walker)

    async def walker(self) -> Walker:
        """The cursor's machine, started if there is none."""
        walker = self._walker
        if walker is None or not walker.machine.usable or walker.position != self.position:
            await self.go(self.position)
        assert self._walker is not None
        return self._walker

    async def to_save(self) -> Walker:
        """The cursor's machine, replaced by one that can be saved if it cannot be."""
        walker = await self.walker()
        if not self._launcher.saves(walker):
            walker = await self._driver.bring_to_save(self.position)
            await self.adopt(walker)
        return walker

    async def adopt(self, walker: Walker) -> None:
        """Make ``walker``'s the cursor's machine, and only then end the old one: we may be cancelled meanwhile."""
        old, self._walker = self._walker, walker
        if old:
            await old.machine.close()

    async def drop(self) -> None:
        """End the cursor's machine."""
        if self._walker:
            walker, self._walker = self._walker, None
            await walker.machine.close()

    @asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Keep the cursor exact whatever happens inside: an error, a dead QEMU, a cancelled task."""
        if self.held:
            raise UsageError(self.held)
        origin, walker = self.position, self._walker
        elsewhere = walker is not None and walker.position != origin
        self.moves += 1
        self.spares.stir()
        try:
            if self.moves == 1:
                await self.idle.stop()
                self._keeper.shelf.catch_up()
            yield
        except asyncio.CancelledError:
            self.spares.abandon()
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            if elsewhere and self._walker is walker:
                # The machine never stood at the cursor, so where it is now says nothing.
                await self.drop()
                self.position = origin
            else:
                await self._settle(origin)
            raise Interrupted(f"Interrupted at {self.position}.") from None
        except LinkError:
            self.position = origin
            await self.drop()
            raise
        except GeneratorExit:
            raise  # a scan that was left early: the cursor is where its user has put it meanwhile
        except BaseException as error:
            self.position = origin
            if self._walker and self._walker.position != origin:
                await self.drop()
            if isinstance(error, OSError):
                raise HostError.of(error, f"The movement from {origin} failed") from None
            raise
        finally:
            self.moves -= 1
            if not self.moves:
                self.spares.settle(self.position)
                self.idle.begin(self.position)
                self.on_rest(self.position)

    async def close(self) -> None:
        """End the cursor's machine and the spares."""
        try:
            await self.idle.stop()
            await self.spares.close()
        finally:
            await self.drop()

    async def _settle(self, origin: Position) -> None:
        """After a cancelled run, find out where the cursor's machine stands, and make it a plain place."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                if await self._stands_plainly(origin):
                    return
        except (TimeoutError, LinkError):
            pass  # a QEMU that hangs or has died: it stands nowhere
        await self.drop()
        self.position = origin

    async def _stands_plainly(self, origin: Position) -> bool:
        """Bring the cursor to where its machine was stopped; false if it cannot be told where that is."""
        walker = self._walker
        if walker is None or not walker.machine.usable:
            # Broken off in an exchange: the position is where the movement began, or the last one that it came to.
            await self.drop()
            return True
        icount = await walker.machine.icount()
        if icount == origin.icount and not self.timeline.deliveries.is_plain(icount):
            # Where among the phases it stands cannot be told: start again.
            return False
        walker.position = Position(icount)
        while not self.timeline.deliveries.is_plain(walker.position.icount):
            await walker.step()
        self.position = walker.position
        return True
