"""Jumps to random places, each compared with the forward run: registers and all RAM."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rrdbg.engine.machines.digest import state_digest
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.replay import Replay
from rrdbg.errors import Divergence, Interrupted, LinkError
from rrdbg.links.idle import wait_for_host
from rrdbg.links.machine import Machine
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline

SECONDS_PER_JUMP = 120.0

_FAILURES = (LinkError, Interrupted, TimeoutError)
"""What a replay that derails leads to; a jump that takes too long is interrupted."""


@dataclass
class Outcome:
    """How jumps ended: at the state of the forward run, elsewhere, or in an error; errors by their sentence.

    ``recovered`` are those of the errors after which the same jump, made once more, was exact.
    """

    exact: int = 0
    wrong: int = 0
    noticed: int = 0
    recovered: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def jumps(self) -> int:
        """All of them."""
        return self.exact + self.wrong + self.noticed

    @property
    def sound(self) -> bool:
        """Whether no jump went wrong unnoticed, or stayed lost."""
        return not self.wrong and self.noticed == self.recovered


def places(timeline: Timeline, count: int, seed: int) -> list[Position]:
    """Random places, in no order; every fourth is just before the delivery of an interrupt or exception, if any are."""
    chosen = random.Random(seed)
    delivered = [icount for icount in timeline.deliveries.icounts if 0 < icount < timeline.end.icount]
    return [
        Position(chosen.choice(delivered) if delivered and number % 4 == 3 else chosen.randrange(timeline.end.icount))
        for number in range(count)
    ]


Digest = Callable[[Machine], Awaitable[str]]


async def forward(root: Path, wanted: Sequence[Position], digest: Digest = state_digest) -> dict[Position, str]:
    """The checksum of the guest's state at each place, by a machine that goes from the start to the end.

    Places that it cannot reach are left out: just behind a riscv64's ``wfi`` there are some (see the documentation).
    """
    with Recording.open(root) as recording:
        launcher = await Launcher.create(recording)
        timeline = load_timeline(recording)
        try:
            found: dict[Position, str] = {}
            left = sorted({*wanted, timeline.end})
            while left:
                walker, _ = await launcher.start(timeline.snapshots[0], timeline)
                try:
                    while left:
                        await walker.arrive(left[0])
                        found[left[0]] = await digest(walker.machine)
                        del left[0]
                except Divergence:
                    del left[0]
                finally:
                    await walker.machine.close()
            return found
        finally:
            await launcher.close()


async def jump(replay: Replay, wanted: Sequence[Position], expected: dict[Position, str]) -> Outcome:
    """Go to each place in turn; where that fails, once more."""
    outcome = Outcome()
    for place in wanted:
        try:
            exact = await is_exact(replay, place, expected)
        except _FAILURES as error:
            outcome.noticed += 1
            outcome.errors[f"{type(error).__name__}: {error}"] += 1
            if replay.lost:
                break
            try:
                outcome.recovered += await is_exact(replay, place, expected)
            except _FAILURES as again:
                outcome.errors[f"again: {type(again).__name__}: {again}"] += 1
        else:
            outcome.exact += exact
            outcome.wrong += not exact
            if not exact:
                outcome.errors[f"wrong state at {place}"] += 1
    return outcome


async def is_exact(
    replay: Replay, place: Position, expected: dict[Position, str], digest: Digest = state_digest
) -> bool:
    """Whether a jump to ``place`` ends in the state that ``expected`` has for it."""
    async with asyncio.timeout(SECONDS_PER_JUMP):
        await replay.seek(place)
    return await digest(await replay.machine()) == expected[place]


async def settled_digest(machine: Machine) -> str:
    """The checksum of the state of ``machine``, whose guest has disks, once its host has done what was asked of it.

    What a disk was asked for comes into RAM at any time before the log says so: of 8 pairs of forward runs to places of
    a guest that reads all the time one pair differed.
    """
    await wait_for_host(machine.process.pid)
    return await state_digest(machine)
