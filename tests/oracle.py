"""The oracle: what single-stepping forward shows, noted by a machine that knows nothing of rrdbg's travel.

Every reverse operation must land where this list says. Positions are numbered here from QEMU's own icount, asked
at each step over QMP: phase 0 is the first stop at an icount, 1 the next, and so on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rrdbg.links.machine import Machine
from rrdbg.links.registers import RegisterFile
from rrdbg.model.hits.stop import WatchKind, Watchpoint
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from tests.forward import from_start


@dataclass(frozen=True)
class Entry:
    """One stop of the single-stepper."""

    position: Position
    pc: int
    packet: bytes
    memory: Mapping[int, bytes]


@dataclass(frozen=True)
class Oracle:
    """A stretch of stops without gaps, and the timeline it is from."""

    entries: tuple[Entry, ...]
    timeline: Timeline
    layout: RegisterFile

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Entry:
        assert index >= 0, "before the stretch, whose end was not meant"
        return self.entries[index]

    def index(self, position: Position) -> int:
        found = bisect_left(self.entries, position, key=lambda entry: entry.position)
        assert self.entries[found].position == position
        return found

    def registers(self, index: int) -> dict[str, int]:
        """All registers at this stop, by name."""
        return self.layout.decode(self.entries[index].packet)

    def begins(self, index: int) -> bool:
        """Whether the instruction at this stop is begun: false where an interrupt comes first."""
        here, after = self.entries[index], self.entries[index + 1]
        if here.position.icount != after.position.icount:
            return True
        kinds = self.timeline.deliveries.at(here.position.icount)
        assert len(set(kinds)) == 1, "the guests have no icount with deliveries of two kinds"
        return kinds[0] is Delivery.EXCEPTION

    def hits(self, *addresses: int) -> list[int]:
        """The stops at which a breakpoint on one of ``addresses`` fires."""
        return [i for i in range(len(self) - 1) if self[i].pc in addresses and self.begins(i)]

    def changes(self, address: int) -> list[int]:
        """The stops whose instruction changes the watched memory at ``address``."""
        return [i for i in range(len(self) - 1) if self[i].memory[address] != self[i + 1].memory[address]]


async def observe(root: Path, start: int, steps: int, watched: Mapping[int, int] | None = None) -> Oracle:
    """Step ``steps`` times from the plain position at or before ``start``, noting memory at ``watched``.

    ``watched`` maps addresses to lengths.
    """
    async with from_start(root) as walker:
        return await _note(walker.machine, walker.timeline, start, steps, watched or {})


async def observe_to_the_end(root: Path, start: int, steps: int, watched: Mapping[int, int]) -> tuple[Oracle, bool]:
    """As `observe`; also tells whether any of ``watched`` is written in what follows, up to the end."""
    async with from_start(root) as walker:
        machine, timeline = walker.machine, walker.timeline
        oracle = await _note(machine, timeline, start, steps, watched)
        for number, (address, length) in enumerate(watched.items()):
            await machine.insert(Watchpoint(number, address, length, WatchKind.WRITE))
        reply = await machine.run_to(timeline.end.icount)
        assert reply.watched or await machine.icount() == timeline.end.icount
        return oracle, bool(reply.watched)


async def _note(machine: Machine, timeline: Timeline, start: int, steps: int, watched: Mapping[int, int]) -> Oracle:
    first = timeline.deliveries.plain_at_or_before(start)
    if first:
        await machine.run_to(first)
    entries = [await _entry(machine, None, watched)]
    while len(entries) <= steps and entries[-1].position.icount < timeline.end.icount:
        await machine.step(timeline.end.icount)
        entries.append(await _entry(machine, entries[-1].position, watched))
    return Oracle(tuple(entries), timeline, machine.register_file)


async def _entry(machine: Machine, before: Position | None, watched: Mapping[int, int]) -> Entry:
    icount = await machine.qmp.icount()
    phase = before.phase + 1 if before and before.icount == icount else 0
    memory = {address: await machine.read_memory(address, length) for address, length in watched.items()}
    return Entry(Position(icount, phase), await machine.pc(), await machine.register_packet(), memory)
