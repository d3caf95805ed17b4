"""The last few positions before the cursor, so that going back a little does not start a QEMU.

One forward pass in single steps stores, for each position it comes through, all registers and some memory. Steps
back and forth inside are then answered from the store; the cursor moves, and the machine stays where the pass ended.
So is a run back to a breakpoint or to a change of memory; what lies before the store is searched, and where that ends
the next pass is made at once. GDB's reverse-next and reverse-finish consist of such steps and short runs.

A jump makes its last steps through here, too (:meth:`Window.watch_jumps`), so that the first step back is in the store.

What is exact: everything. Registers are those of the position. Memory is answered from the store only if all bytes
asked for were read *at that position* during the pass, which reads the ranges that were asked for lately, and a short
pass also the instruction and the top of the stack, at which a debugger looks wherever it stops. Anything else makes a
new pass up to the cursor, whose machine then stands there and is asked itself. The more often the store runs out, the
longer the next pass: 32 positions, then 64, up to 4096.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.scan import Accept
from rrdbg.engine.search.watch import watched_step
from rrdbg.errors import Overshot, RspError
from rrdbg.links.machine import Machine
from rrdbg.links.registers import RegisterFile
from rrdbg.model.hits.stop import Breakpoint, Hit, Point, StopReason, WatchKind, Watchpoint
from rrdbg.model.machine.safety import step_hazard
from rrdbg.model.program.code_mode import CodeSegment
from rrdbg.model.timeline.line import STOPS
from rrdbg.model.timeline.position import START, Position

FIRST = 32
LONGEST = 4096
"""Positions in a pass: the first, and at most."""

Outcome = tuple[StopReason, tuple[Hit, ...]]
"""Why a movement ended, and the points it set off."""

_BLOCK = 64
_MOST_BLOCKS = 24
_PAGE = 4096
_MOST_BYTES = 1024
"""What one packet asks for: an exchange takes 0.2 ms, and 1 kB more of memory in it next to nothing."""


@dataclass(slots=True)
class _Moment:
    """One position: its registers, what the step *from* it did, and blocks of memory by address.

    ``begun`` is false if an interrupt came before the instruction.
    """

    position: Position
    registers: bytes
    pc: int
    segment: CodeSegment | None
    begun: bool = True
    hits: tuple[Hit, ...] = ()
    memory: dict[int, bytes] = field(default_factory=dict)


class Window:
    """Steps and reads around the cursor of ``replay``."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._moments: list[_Moment] = []
        self._index: dict[Position, int] = {}
        self._watched: frozenset[Watchpoint] = frozenset()
        self._recent: dict[int, None] = {}
        self._layout: RegisterFile | None = None
        self._length = FIRST
        self.passes = 0
        """How many passes were made."""

    async def step_back(self, watchpoints: Sequence[Watchpoint] = ()) -> Outcome:
        """Go back by one step, and tell which of ``watchpoints`` that step accesses."""
        replay = self._replay
        watchpoints = await replay.meant_here(watchpoints)
        if replay.position == START:
            return StopReason.START, ()
        here = self._here(watchpoints)
        if not here:
            # Running out again just below the last pass means that somebody walks back: look further ahead.
            adjoining = here == 0 or self._adjoins()
            self._length = min(2 * self._length, LONGEST) if adjoining else FIRST
            await self._pass(watchpoints)
            here = self._index[replay.position]
        moment = self._moments[here - 1]
        replay.place(moment.position)
        return _outcome(moment.hits, watchpoints)

    async def step(self, watchpoints: Sequence[Watchpoint] = ()) -> Outcome:
        """Go forward by one step."""
        watchpoints = await self._replay.meant_here(watchpoints)
        here = self._here(watchpoints)
        if here is not None and here + 1 < len(self._moments):
            self._replay.place(self._moments[here + 1].position)
            return _outcome(self._moments[here].hits, watchpoints)
        stop = await (self._replay.step_watching(watchpoints) if watchpoints else self._replay.stepi())
        return stop.reason, stop.hits

    async def reverse_cont(self, points: Sequence[Point], accept: Accept | None = None) -> Outcome:
        """Go back to the last hit before the cursor, of ``points`` or the replay's own."""
        replay = self._replay
        replay.spaces.keep((*replay.points, *points))
        wanted = await replay.meant_here((*replay.points, *points))
        watchpoints = tuple(point for point in wanted if isinstance(point, Watchpoint))
        # Conditions may read memory that is not in the store, and a delivery may access some that the pass missed.
        # Which address space a moment was in is not stored.
        storable = accept is None and all(point.kind is WatchKind.WRITE for point in watchpoints)
        storable = storable and not any(isinstance(point, Breakpoint) and point.space for point in wanted)
        edge, found = replay.position, None
        if storable and (here := self._here(watchpoints)) is not None:
            edge, found = self._last_before(here, wanted)
        if found:
            replay.place(edge)
            replay.mark(STOPS, edge, found.text)
            return found.reason, (found,)
        last = await replay.last_before(edge, wanted, accept)
        if last is None:
            await replay.seek(START)
            return StopReason.START, ()
        target, hit = last
        replay.place(target)
        replay.mark(STOPS, target, hit.text)
        self._length = FIRST
        await self._pass(watchpoints if storable else ())
        return hit.reason, (hit,)

    def _last_before(self, here: int, points: Sequence[Point]) -> tuple[Position, Hit | None]:
        """Where the last hit of ``points`` before moment ``here`` is; without one, from where on that is known."""
        breakpoints = {point.address: point for point in points if isinstance(point, Breakpoint)}
        for number in range(here - 1, -1, -1):
            moment = self._moments[number]
            # The access of the step from here comes after the breakpoint on it.
            for hit in moment.hits:
                if hit.point in points and hit.belongs:
                    return moment.position, hit
            if moment.begun and (point := breakpoints.get(moment.pc)):
                hit = Hit(moment.position, moment.pc, point)
                if hit.belongs:
                    return moment.position, hit
        return self._moments[0].position, None

    async def register_packet(self) -> bytes:
        """All registers at the cursor, as a ``g`` packet gives them."""
        here = self._index.get(self._replay.position)
        if here is not None:
            return self._moments[here].registers
        return await (await self._replay.machine()).register_packet()

    async def registers(self) -> dict[str, int]:
        """All registers at the cursor, by name."""
        here = self._index.get(self._replay.position)
        if here is None or self._layout is None:
            return await self._replay.registers()
        return self._layout.decode(self._moments[here].registers)

    async def pc(self) -> int:
        """The linear address of the next instruction at the cursor."""
        here = self._index.get(self._replay.position)
        return await self._replay.pc() if here is None else self._moments[here].pc

    async def code_segment(self) -> CodeSegment | None:
        """How the CPU reads its code at the cursor (:meth:`~rrdbg.links.machine.Machine.code_segment`)."""
        here = self._index.get(self._replay.position)
        if here is not None:
            return self._moments[here].segment
        return await (await self._replay.machine()).code_segment()

    async def read_memory(self, address: int, length: int) -> bytes:
        """Memory at the cursor.

        :raises RspError: it is not mapped there.
        """
        blocks = range(address - address % _BLOCK, address + length, _BLOCK)
        if len(blocks) <= _MOST_BLOCKS // 2:
            for block in blocks:
                self._recent.pop(block, None)
                self._recent[block] = None
            while len(self._recent) > _MOST_BLOCKS:
                del self._recent[next(iter(self._recent))]
        here = self._index.get(self._replay.position)
        if here is None or self._replay.machine_position == self._replay.position:
            return await self._replay.read_memory(address, length)
        memory = self._moments[here].memory
        if all(block in memory for block in blocks):
            start = address - blocks[0]
            return b"".join(memory[block] for block in blocks)[start : start + length]
        if here == 0:
            return await self._replay.read_memory(address, length)
        await self._pass(tuple(self._watched), keep_length=here)
        return await self._replay.read_memory(address, length)

    def watch_jumps(self) -> None:
        """Have jumps make their last steps through here, unless this guest must not be stepped."""
        manifest = self._replay.recording.manifest
        if not step_hazard(manifest.invocation.architecture, manifest.qemu_version):
            self._replay.last_steps = self._arrive

    async def _arrive(self, walker: Walker, goal: Position) -> None:
        """Make the last steps of a jump to ``goal``, and store what they come through."""
        self._keep(await self._walk(walker, goal, (), around=True), ())

    def forget(self) -> None:
        """Drop the store."""
        self._moments.clear()
        self._index.clear()

    def _here(self, watchpoints: Sequence[Watchpoint]) -> int | None:
        """The index of the cursor, if the store knows about all of ``watchpoints``."""
        return self._index.get(self._replay.position) if self._watched.issuperset(watchpoints) else None

    def _adjoins(self) -> bool:
        """True if the cursor has come from the store a moment ago, as after a breakpoint in a function walked over."""
        if not self._moments:
            return False
        low, high = self._moments[0].position.icount, self._moments[-1].position.icount
        return low - self._length <= self._replay.position.icount <= high

    async def _pass(self, watchpoints: Sequence[Watchpoint], keep_length: int | None = None) -> None:
        replay = self._replay
        goal = replay.position
        length = keep_length or self._length
        base = replay.timeline.deliveries.plain_at_or_before(goal.icount - length)
        moments: list[_Moment] = []

        async def visit(walker: Walker) -> None:
            nonlocal moments
            moments = await self._walk(walker, goal, watchpoints, around=length <= 2 * FIRST)

        await replay.approach(base, visit)
        self.passes += 1
        self._keep(moments, watchpoints)

    async def _walk(
        self, walker: Walker, goal: Position, watchpoints: Sequence[Watchpoint], *, around: bool
    ) -> list[_Moment]:
        moments: list[_Moment] = []
        self._layout = walker.machine.register_file
        while True:
            moment = await _moment(walker, self._read_ahead(), around=around)
            moments.append(moment)
            if walker.position >= goal:
                return moments
            if watchpoints:
                step, moment.hits = await watched_step(walker, watchpoints, self._replay.recording.layout.log)
            else:
                step = await walker.step()
            if step.missed:
                raise Overshot(f"QEMU ran past {step.missed}, a place behind a pause; travel again.")
            moment.begun = not walker.interrupted(step)

    def _read_ahead(self) -> list[int]:
        """The blocks of memory that were asked for last, but for those that would be changed by being read."""
        devices = self._replay.device_pages
        return [block for block in self._recent if block // _PAGE not in devices]

    def _keep(self, moments: list[_Moment], watchpoints: Sequence[Watchpoint]) -> None:
        self._moments = moments
        self._index = {moment.position: number for number, moment in enumerate(moments)}
        self._watched = frozenset(watchpoints)


async def _moment(walker: Walker, blocks: Iterable[int], *, around: bool) -> _Moment:
    """What there is where ``walker`` stands: registers, ``blocks``, and what is ``around`` if that is wanted."""
    machine = walker.machine
    packet, layout = await machine.register_packet(), machine.register_file
    moment = _Moment(walker.position, packet, await machine.pc(), await machine.code_segment())
    if around:
        blocks = {*blocks, *_around(moment.pc, 1), *_around(layout.stack_pointer(packet), 2)}
    for group in _groups(blocks):
        await _read_blocks(machine, group, moment.memory)
    return moment


def _outcome(known: tuple[Hit, ...], watchpoints: Sequence[Watchpoint]) -> Outcome:
    hits = tuple(hit for hit in known if hit.point in watchpoints and hit.belongs)
    return (StopReason.WATCHPOINT if hits else StopReason.STEP), hits


def _around(address: int | None, count: int) -> list[int]:
    """The block that has ``address``, and the next ones, ``count`` in all."""
    return [] if address is None else [address - address % _BLOCK + _BLOCK * number for number in range(count)]


def _groups(blocks: Iterable[int]) -> list[list[int]]:
    """``blocks`` in groups that lie near each other on one page, each of which one packet may ask for."""
    groups: list[list[int]] = []
    for block in sorted(blocks):
        first = groups[-1][0] if groups else None
        if first is not None and block < first + _MOST_BYTES and block // _PAGE == first // _PAGE:
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


async def _read_blocks(machine: Machine, blocks: Sequence[int], memory: dict[int, bytes]) -> None:
    """Put those of ``blocks``, a group, that are mapped into ``memory``."""
    first = blocks[0]
    try:
        data = await machine.read_memory(first, blocks[-1] + _BLOCK - first)
    except RspError:
        return
    for block in blocks:
        memory[block] = data[block - first : block - first + _BLOCK]
