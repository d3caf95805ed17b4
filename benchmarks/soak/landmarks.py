"""Positions whose state a forward run has noted: what every later visit must find again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.machines.digest import state_digest
from rrdbg.engine.replay import Replay
from rrdbg.model.timeline.position import Position
from tests.forward import from_start


@dataclass(frozen=True, slots=True)
class Landmark:
    """A position, the checksum of registers and RAM there, and the pc and stack pointer, which are good to watch."""

    position: Position
    digest: str
    pc: int
    stack: int

    async def matches(self, replay: Replay) -> bool:
        """Whether the cursor of ``replay``, which must be here, finds the same state."""
        return await state_digest(await replay.machine()) == self.digest


async def survey(root: Path, count: int, choice: random.Random) -> list[Landmark]:
    """``count`` landmarks of the recording at ``root``, seen by one QEMU that goes from start to end."""
    found = []
    async with from_start(root) as walker:
        timeline = walker.timeline
        end = timeline.end.icount
        plain = timeline.deliveries.plain_at_or_before
        for icount in sorted({plain(choice.randrange(end // 50, end)) for _ in range(count)}):
            await walker.run_to(icount)
            registers = await walker.machine.registers()
            layout = walker.machine.register_file
            stack = next((registers[name] for name in ("rsp", "sp") if name in registers), 0)
            digest = await state_digest(walker.machine)
            found.append(Landmark(walker.position, digest, registers[layout.pc], stack))
    return found
