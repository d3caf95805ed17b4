"""The known right answers of a guest: what one forward run shows, noted by a machine that knows nothing of travel.

The machine is started once on the first snapshot and only runs, steps and stops at breakpoints and watchpoints, as in
tests/oracle.py. Whatever a rival answers is compared with this list.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guests import Guest
from rrdbg.errors import RspError
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Breakpoint, Watchpoint
from rrdbg.model.timeline.line import Timeline
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.forward import from_start

STEPS = 100
"""How many single steps are walked back."""

HITS = 100
"""How many hits of a breakpoint are walked back."""

FALSE_HITS = 10_000
"""How often a condition is false before it is true."""

RECORDED = 3000
"""Instructions that GDB's own recorder is given; nothing is delivered in them, since it knows no interrupts."""

_FIRST_STEPS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the recording at which a first step back is made."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a guest stands: instructions executed, and the pc (None: not looked at)."""

    icount: int
    pc: int | None = None

    def __str__(self) -> str:
        return f"{self.icount:,}"


@dataclass(frozen=True, slots=True)
class Condition:
    """``variable`` (unsigned, ``length`` bytes at ``address``) is at most ``limit``, or (``least``) at least that."""

    address: int
    length: int
    limit: int
    least: bool = False

    def holds(self, value: bytes) -> bool:
        """Whether it holds of these bytes."""
        number = int.from_bytes(value, "little")
        return number >= self.limit if self.least else number <= self.limit

    @property
    def bytecode(self) -> bytes:
        """It as an agent expression: ``not (value > limit)``, or ``not (value < limit)``."""
        value = b"\x25" + self.address.to_bytes(8, "big") + {4: b"\x19", 8: b"\x1a"}[self.length]
        limit = b"\x25" + self.limit.to_bytes(8, "big")
        operands = value + limit if self.least else limit + value
        return operands + b"\x15\x0e\x27"  # less_unsigned, log_not, end


@dataclass(frozen=True, slots=True)
class Rarely:
    """From ``origin`` back ``condition`` is false :data:`FALSE_HITS` times at a breakpoint, then true at ``hit``."""

    condition: Condition
    origin: int
    hit: Place


@dataclass(frozen=True, slots=True)
class Places:
    """Where things happen in a recording that ends at ``end``."""

    end: int
    before_steps: tuple[Place, ...]
    """Places all over the recording; the step back from the instruction after each leads there."""
    steps: tuple[Place, ...]
    """The last instructions of the stretch that ends at :attr:`quiet`, and that end."""
    near: Place
    far: Place
    hits: tuple[Place, ...]
    """The last hits of a breakpoint that is hit often."""
    rarely: Rarely | None
    write: Place
    """The position after the last write to the variable."""
    turn: Condition
    turn_at: Place
    """The position at which this begins to hold."""
    quiet: int
    """The end of :data:`RECORDED` instructions without deliveries, in which the guest's own program works."""

    @property
    def stretches(self) -> dict[str, tuple[int, int]]:
        """From where to where each search of :mod:`benchmarks.measures` must look, by its name."""
        lows = {"near-hit": self.near, "far-hit": self.far, "no-hit": Place(0), "last-write": self.write}
        found = {name: (low.icount, self.end) for name, low in lows.items()}
        if self.rarely:
            found["condition"] = (self.rarely.hit.icount, self.rarely.origin)
        return found


async def find_places(guest: Guest, *, rarely: bool = True) -> Places:
    """Run the recording forward several times, and note what :class:`Places` has; ``rarely`` only if that is wanted."""
    with Recording.open(guest.recording) as recording:
        timeline = load_timeline(recording)
    end = timeline.end.icount
    plain = timeline.deliveries.plain_at_or_before
    shares = [plain(int(share * end)) for share in _FIRST_STEPS]
    quiet = _quiet(timeline, int(guest.quiet_from * end), RECORDED + 500) + RECORDED
    start = quiet - STEPS
    async with from_start(guest.recording) as walker:
        machine = walker.machine
        seen = {}
        steps: list[Place] = []
        for icount in sorted({*shares, start}):
            await machine.run_to(icount)
            seen[icount] = await _place(machine)
            if icount == start:
                steps = [seen[icount]]
                while len(steps) <= STEPS:
                    await machine.step(end)
                    steps.append(await _place(machine))
    often, near, far = guest.address(guest.often), guest.address(guest.near), guest.address(guest.far)
    hits = await _hits(guest.recording, end, (often, near, far))
    writes = await _writes(guest.recording, end, guest.address(guest.variable), guest.variable_length)
    turns = await _writes(guest.recording, end, guest.address(guest.turning), guest.turning_length)
    turn = Condition(guest.address(guest.turning), guest.turning_length, guest.turning_limit, least=True)
    return Places(
        end=end,
        before_steps=(steps[-2], *(seen[share] for share in shares)),
        steps=tuple(steps),
        near=_last(hits, near),
        far=_last(hits, far),
        hits=tuple(place for place in hits if place.pc == often)[-HITS:],
        rarely=await _rarely(guest, end) if rarely else None,
        write=writes[-1][0],
        turn=turn,
        turn_at=next(place for place, value in turns if turn.holds(value)),
        quiet=quiet,
    )


def _last(hits: Sequence[Place], address: int) -> Place:
    return next(place for place in reversed(hits) if place.pc == address)


def _quiet(timeline: Timeline, start: int, length: int) -> int:
    """The first icount from ``start`` on after which nothing is delivered for ``length`` instructions."""
    deliveries = timeline.deliveries
    while deliveries.any_between(start, start + length):
        found = bisect_left(deliveries.icounts, start)
        start = deliveries.icounts[found] + 1
    return start


async def _place(machine: Machine) -> Place:
    return Place(await machine.icount(), await machine.pc())


async def _hits(recording: Path, end: int, addresses: Sequence[int]) -> list[Place]:
    """Each time that one of ``addresses`` is executed."""
    found = []
    async with from_start(recording) as walker:
        machine = walker.machine
        for number, address in enumerate(addresses):
            await machine.insert(Breakpoint(number, address))
        while (place := await _next_hit(machine, end)) is not None:
            found.append(place)
    return found


async def _next_hit(machine: Machine, end: int) -> Place | None:
    """Run to the next breakpoint whose instruction is begun, and step over it."""
    while True:
        await machine.run_to(end)
        place = await _place(machine)
        if place.icount >= end:
            return None
        await machine.step(end)
        if await machine.icount() > place.icount:
            return place  # else an interrupt came first, and the instruction comes again


async def _rarely(guest: Guest, end: int) -> Rarely:
    """Compare a variable that grows with its value at the first hit in a busy part of the recording."""
    address, length = guest.address(guest.growing), 8
    point = Breakpoint(1, guest.address(guest.busy))
    seen: list[tuple[Place, int]] = []
    later = 0
    async with from_start(guest.recording) as walker:
        machine = walker.machine
        await machine.run_to(int(guest.busy_from * end))
        await machine.insert(point)
        while later < FALSE_HITS:
            await machine.run_to(end)
            place = await _place(machine)
            if place.icount >= end:
                raise SystemExit(f"{guest.busy} is not reached {FALSE_HITS:,} times after {guest.busy_from:.0%}.")
            value = int.from_bytes(await machine.read_memory(address, length), "little")
            await machine.step(end)
            if await machine.icount() > place.icount:
                seen.append((place, value))
                later += value > seen[0][1]
    limit = seen[0][1]
    hit = next(place for place, value in reversed(seen) if value <= limit)
    return Rarely(Condition(address, length, limit), seen[-1][0].icount + 1, hit)


async def _writes(recording: Path, end: int, address: int, length: int) -> list[tuple[Place, bytes]]:
    """The positions after each instruction that changes the memory, and its bytes then."""
    found: list[tuple[Place, bytes]] = []
    value = b""
    async with from_start(recording) as walker:
        machine = walker.machine
        await machine.insert(Watchpoint(1, address, length))
        while True:
            reply = await machine.run_to(end)
            icount = await machine.icount()
            if icount >= end and not reply.watched:
                return found
            try:
                now = await machine.read_memory(address, length)
            except RspError:
                continue
            if now != value:
                found.append((Place(icount), now))
            value = now
            if icount >= end:
                return found
