"""A machine that knows its position, and walks forward to others exactly.

Invariant: :attr:`Walker.position` is where the machine stands, phase included. Only plain icounts are
run to; ambiguous ones are stepped to, since QEMU 10 and 11 land a replay breakpoint on either side of a
delivery. A single step over ``pause`` and its like makes the next instruction, too, so they are stepped over with a
fence behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

from rrdbg.errors import Divergence, OutOfRange, Overshot
from rrdbg.links.machine import Machine
from rrdbg.links.rsp import StopReply
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Step:
    """One single step: from where, to where, and what the stub said.

    It may be ``missed`` that there is a position between: behind a ``pause``, in front of an interrupt that comes
    there.
    """

    before: Position
    after: Position
    reply: StopReply

    @property
    def missed(self) -> Position | None:
        """The position that was passed over, if one was."""
        return Position(self.after.icount) if self.after.icount > self.before.icount and self.after.phase else None


class Walker:
    """A :class:`Machine` and its position on a timeline."""

    def __init__(self, machine: Machine, timeline: Timeline, position: Position) -> None:
        self.machine = machine
        self.timeline = timeline
        self.position = position

    async def run_to(self, icount: int, on_progress: ProgressCallback | None = None) -> StopReply | None:
        """Run to the plain position ``icount``; None if we stand there already.

        If a breakpoint or watchpoint stops the run before, the reply tells, and :attr:`position` has the
        icount with phase 0, which may be too low where the icount is ambiguous.

        :raises Divergence: the machine stopped anywhere else.
        """
        if icount == self.position.icount:
            return None
        reply = await self.machine.run_to(icount, on_progress)
        reached = await self.machine.icount()
        if reached > icount or (reply.signal != _TRAP and reached != icount):
            raise Divergence(
                f"The replay ran to {reached:,} where it was to stop at {icount:,}; it no longer follows its log; "
                f"{self.machine.process.remedy}."
            )
        self.position = Position(reached)
        return reply

    async def step(self) -> Step:
        """Execute one instruction or take one delivery.

        :raises OutOfRange: we stand at the end.
        :raises Divergence: the icount did not move as it must.
        """
        before = self.position
        if before >= self.timeline.end:
            raise OutOfRange(f"{before} is the end of the recording; there is nothing after it.")
        behind = await self.machine.behind_pause()
        if behind is None:
            reply = await self.machine.step(self.timeline.end.icount)
        else:
            reply = await self.machine.step_exactly(before.icount + 1)
        self.position = await self._after(before)
        if behind is not None and not self.timeline.deliveries.is_plain(self.position.icount):
            # A fence may stop QEMU 10 and 11 before or after what is delivered there.
            self.position = Position(self.position.icount, int(await self.machine.pc() != behind))
        return Step(before, self.position, reply)

    def interrupted(self, step: Step) -> bool:
        """True if the instruction at ``step.before`` was not begun, since an interrupt came first.

        A free run does not hit a breakpoint there; the instruction comes again after the interrupt.
        """
        if step.after.icount != step.before.icount:
            return False
        kinds = self.timeline.deliveries.at(step.before.icount)
        return kinds[min(step.before.phase, len(kinds) - 1)] is Delivery.INTERRUPT

    async def walk_to(self, target: Position) -> None:
        """Single-step to ``target``.

        :raises OutOfRange: there is no such phase at that icount.
        :raises Overshot: this machine came by it without a stop.
        """
        while self.position < target:
            if (await self.step()).missed == target:
                raise Overshot(f"QEMU ran past {target}, a place behind a pause; travel again.")
        if self.position != target:
            raise OutOfRange(
                f"There is no position {target}: at {target.icount:,} nothing more is delivered; "
                f"the next position is {self.position}."
            )

    async def arrive(self, target: Position, on_progress: ProgressCallback | None = None) -> None:
        """Go forward to ``target`` by running and then stepping; no breakpoints may be set."""
        landing = self.timeline.landing_before(target)
        if landing > self.position.icount:
            await self.run_to(landing, on_progress)
        await self.walk_to(target)

    async def _after(self, before: Position) -> Position:
        icount = await self.machine.icount()
        if icount == before.icount:
            return Position(icount, before.phase + 1)
        if icount == before.icount + 1:
            return Position(icount)
        raise Divergence(
            f"One step led from {before} to {icount:,}; the replay no longer follows its log; "
            f"{self.machine.process.remedy}."
        )


_TRAP = 5
