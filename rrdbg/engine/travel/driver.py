"""Carry out plans: start machines on snapshots and bring them to positions, leaving snapshots on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from rrdbg.engine.machines.progress import ProgressListener, Stretch
from rrdbg.engine.machines.source import Machines
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.engine.travel.spares import Spares
from rrdbg.errors import Divergence, LinkError, Overshot, QemuLaunchError
from rrdbg.links.unbroken import unbroken
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.plan import Plan, Rates, RunTo, Start, StepTo, plan_seek, price

TRIES = 40
"""Machines that may run past a place before it is given up: on a busy host one of three does."""

_START_SECONDS = 2.0
"""How long a machine that is being started is waited for when nobody wants it any more; it takes 0.3 s at most."""


class Driver:
    """Brings machines of one recording, ``spares`` among them, to where they are wanted.

    ``report`` is called on the way.
    """

    def __init__(self, launcher: Machines, keeper: Keeper, spares: Spares, report: ProgressListener) -> None:
        self._launcher = launcher
        self._keeper = keeper
        self._spares = spares
        self._report = report
        self._rates = Rates()
        self.cursor = START
        """Where the user is: a machine that is brought to a place before it goes backwards for him."""

    async def bring(self, walker: Walker | None, target: Position) -> Walker:
        """A machine at ``target``: ``walker`` itself, or a new one where that is quicker.

        A new one is ended again if it does not arrive; ``walker`` is the caller's in any case.
        """
        here = walker.position if walker else None
        rates = replace(self._rates, cost=self._keeper.timeline.cost)
        plan = plan_seek(self._keeper.timeline, here, target, rates)
        if spare := await self._spares.take(target, price(plan, here, rates), rates):
            # One that has died while it waited is replaced.
            with contextlib.suppress(LinkError):
                return await self._execute(spare.plan, spare.walker, target, spare.walker)
        try:
            return await self._execute(plan, walker, target)
        except Overshot as error:
            missed = error
        except Divergence as error:
            return await self._from_another(plan, target, error)
        for _ in range(TRIES):
            with contextlib.suppress(Overshot):
                return await self._execute(plan_seek(self._keeper.timeline, None, target, rates), None, target)
        raise missed

    async def _from_another(self, plan: Plan, target: Position, error: Divergence) -> Walker:
        """A machine at ``target`` from another snapshot than that of ``plan``, from which one has derailed.

        Only where nobody has proved that one: QEMU also saves a state in which the host is still busy with a request of
        a disk's, and a machine that takes that up waits for its answer for ever. Tried are the one before, and then
        one that was proved; whatever derailed is trusted no more when one of them arrives.

        :raises Divergence: none does, or there is none.
        """
        timeline, suspects = self._keeper.timeline, list[Snapshot]()
        while len(suspects) < 2 and (suspect := _unproved(plan)):
            suspects.append(suspect)
            unproved = [known for known in timeline.snapshots if not _is_trusted(known)]
            for known in unproved if len(suspects) == 2 else (suspect,):
                timeline = timeline.without_snapshot(known.icount)
            plan = plan_seek(timeline, None, target, self._rates)
            try:
                walker = await self._execute(plan, None, target)
            except Divergence:
                continue
            for known in suspects:
                self._keeper.shelf.distrust(known, str(error))
            return walker
        raise error

    async def start_at(self, icount: int) -> Walker:
        """A new machine at the plain ``icount``; the caller closes it."""
        return await self.bring(None, Position(icount))

    async def bring_to_save(self, target: Position) -> Walker:
        """A new machine at ``target`` that can be saved there; the caller closes it."""
        rates = replace(self._rates, cost=self._keeper.timeline.cost)
        plan = plan_seek(self._keeper.timeline, None, target, rates)
        return await self._execute(plan, None, target, saving=True)

    def progress(self, target: Position, start: Position) -> Callable[[int], None]:
        """What to call with each icount on the way from ``start`` to ``target``."""
        stretch = Stretch.alone(self._keeper.timeline.cost, start.icount, target.icount, self._report)
        stretch.at(start.icount)
        return stretch.at

    async def _execute(
        self,
        plan: Plan,
        walker: Walker | None,
        target: Position,
        started: Walker | None = None,
        *,
        saving: bool = False,
    ) -> Walker:
        """Carry out ``plan``; ``started`` is the machine to end if that fails, a new one is to be for ``saving``."""
        try:
            for action in plan:
                match action:
                    case Start(snapshot):
                        saving = saving or self._leaves_some(snapshot, target)
                        walker = started = await self._start(snapshot, saving=saving)
                    case RunTo(icount):
                        assert walker is not None
                        on_progress = self.progress(target, walker.position)
                        backwards = started is not None and self._goes_back_a_little(target)
                        await self._keeper.advance(walker, icount, on_progress, reverse=backwards)
                    case StepTo(position):
                        assert walker is not None
                        await walker.walk_to(position)
        except BaseException:
            if started:
                await started.machine.close()
            raise
        assert walker is not None
        return walker

    def _leaves_some(self, snapshot: Snapshot, target: Position) -> bool:
        """True if snapshots are to be laid on the way from ``snapshot`` to ``target``."""
        low, high = snapshot.icount, target.icount
        again = self._goes_back_a_little(target) and self._keeper.lays_ladder(low, high)
        return again or self._keeper.passes(low, high)

    def _goes_back_a_little(self, target: Position) -> bool:
        """True if ``target`` lies before the cursor and no snapshot between them."""
        nearest = self._keeper.timeline.nearest
        return target <= self.cursor and nearest(target.icount) == nearest(self.cursor.icount)

    async def _start(self, snapshot: Snapshot, *, saving: bool) -> Walker:
        """A machine at ``snapshot``; where QEMU cannot load that, it is run to from an earlier one."""
        try:
            return await self._load(snapshot, saving=saving)
        except QemuLaunchError as error:
            earlier = self._keeper.timeline.nearest(snapshot.icount - 1)
            if earlier is None:
                raise
            walker = await self._start(earlier, saving=saving)
            # An earlier one can be loaded, so the trouble is this one and not QEMU.
            self._keeper.shelf.distrust(snapshot, str(error))
        try:
            await self._keeper.advance(walker, snapshot.icount, None)
        except BaseException:
            await walker.machine.close()
            raise
        return walker

    async def _load(self, snapshot: Snapshot, *, saving: bool) -> Walker:
        starting = asyncio.create_task(self._launcher.start(snapshot, self._keeper.timeline, saving=saving))
        try:
            walker, seconds = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Half a machine would be worse than the wait.
            await unbroken(_end(starting))
            raise
        self._rates = replace(self._rates, start_seconds=seconds)
        self._keeper.shelf.loaded(snapshot, seconds)
        self._spares.came_from(walker, snapshot)
        return walker


def _unproved(plan: Plan) -> Snapshot | None:
    """The snapshot that ``plan`` starts from, if nobody has proved it."""
    started = next((action.snapshot for action in plan if isinstance(action, Start)), None)
    return None if started is None or _is_trusted(started) else started


def _is_trusted(snapshot: Snapshot) -> bool:
    return bool(snapshot.sound) or snapshot.kind is SnapshotKind.INITIAL


async def _end(starting: asyncio.Task[tuple[Walker, float]]) -> None:
    """End a machine that is being started; one that fails to start needs no end, and one that hangs is broken off."""
    await asyncio.wait((starting,), timeout=_START_SECONDS)
    starting.cancel()
    with contextlib.suppress(LinkError, asyncio.CancelledError):
        await (await starting)[0].machine.close()
