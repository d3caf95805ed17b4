"""What happens to the memory of one of three processes of one program is what single-stepping forward says.

The truth is a list of stops: position, root of the page tables, pc, and the watched bytes. A write is a step in one
address space behind which bytes that were mapped before it are others. Everything that finds hits must say that, for
whatever process the cursor is in. ``RRDBG_EXAMPLES`` asks for more comparisons, which make test-matrix does; more
than a hundred are of other places each time.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.queries.changes import changes
from rrdbg.engine.queries.origin import origin
from rrdbg.engine.queries.predicates import FormulaPredicate
from rrdbg.engine.replay import Replay
from rrdbg.engine.search import backward
from rrdbg.engine.search.parallel.local import LocalExecutor
from rrdbg.engine.window import Window
from rrdbg.errors import RrdbgError, RspError
from rrdbg.links.machine import Machine
from rrdbg.links.translation import physical_here
from rrdbg.model.hits.bisection import Verdict
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.predicate import MemoryFormula, MemoryTest
from rrdbg.model.hits.stop import Breakpoint, Hit, Point, StopReason, WatchKind, Watchpoint
from rrdbg.model.program.moves import MemoryPlace
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.travel import segments
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.engine.conftest import Run
from tests.guests.build import symbol
from tests.guests.linux.processes import Processes
from tests.recordings import fresh_copy

pytestmark = [pytest.mark.linux, pytest.mark.timeout(0 if "RRDBG_EXAMPLES" in os.environ else 600)]

EXAMPLES = int(os.environ.get("RRDBG_EXAMPLES", "16"))
SEED = int(os.environ.get("RRDBG_SEED", "0")) or (random.SystemRandom().getrandbits(32) if EXAMPLES > 100 else 17)
PRESSED = "RRDBG_PRESSURE" in os.environ
"""Whether the page of the disk is dropped for want of memory, for which the guest runs 1,500 million instructions."""

LONGER = int(os.environ.get("RRDBG_LONGER", "1"))
"""By how much longer the stretches are to be."""

STEPS = {
    "rounds": 6000,
    "forking": 4000,
    "mapping": 5000,
    "dropping": 180_000 if PRESSED else 110_000 if EXAMPLES > 100 else 7000,
}
"""A page that is dropped comes back 90,000 instructions later."""

MAPPED = 0x1000_0000
DISK = 0x2000_0000
PRESSING = 40_000
"""Instructions before its program sees that it has gone."""

LEAD = 300
"""Instructions before the first write of a stretch."""
_PAIR = 0x1FFF
"""Linux with page-table isolation keeps the kernel's and the user's root of a process in two pages side by side."""

WAYS = ("stub", "index", "parallel", "accelerator", "single")


@dataclass(frozen=True)
class Moment:
    """One stop of the single-stepper; ``values`` are the watched bytes by address, None where nothing is mapped.

    ``behind`` are those of a place in physical memory, if one is watched.
    """

    position: Position
    root: int
    pc: int
    values: dict[int, bytes | None]
    behind: bytes = b""


@dataclass(frozen=True)
class Access:
    """What the step from moment ``index`` does to watched bytes."""

    index: int
    root: int
    before: bytes
    after: bytes


class Truth:
    """A stretch of moments without a gap; ``readers`` are the addresses of instructions that read ``value``."""

    def __init__(self, moments: list[Moment], value: int, readers: set[int], physical: int | None = None) -> None:
        self.moments = moments
        self.value = value
        self._readers = readers
        self.physical = physical
        self.roots = sorted({access.root for access in self.writes(value)})

    def writes(self, address: int) -> list[Access]:
        """Each step that changes the bytes at ``address``, in whatever address space."""
        return [
            Access(i, one.root, before, after)
            for i, (one, other) in enumerate(zip(self.moments, self.moments[1:], strict=False))
            if (before := one.values[address]) is not None and (after := other.values[address]) is not None
            if before != after and one.root == other.root
        ]

    def physical_writes(self) -> list[Access]:
        """Each step that changes the place in physical memory, by whatever address."""
        return [
            Access(i, one.root, one.behind, other.behind)
            for i, (one, other) in enumerate(zip(self.moments, self.moments[1:], strict=False))
            if one.behind != other.behind
        ]

    def reads(self) -> list[int]:
        """The moments from which a step reads ``value``."""
        return [
            i
            for i, (one, other) in enumerate(zip(self.moments, self.moments[1:], strict=False))
            if one.pc in self._readers and one.position.icount != other.position.icount
        ]

    def executed(self, pc: int) -> list[int]:
        return [
            i
            for i, (one, other) in enumerate(zip(self.moments, self.moments[1:], strict=False))
            if one.pc == pc and one.position.icount != other.position.icount
        ]

    @property
    def start(self) -> Position:
        return self.moments[0].position

    @property
    def end(self) -> Position:
        return self.moments[-1].position


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest, processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One in which snapshots may be laid."""
    target = tmp_path_factory.mktemp("spaces") / "processes"
    if PRESSED:
        return asyncio.run(Recorder(RecordRequest(processes.pressed().command, target)).run()).directory
    return fresh_copy(request.getfixturevalue("processes_recording"), target)


async def _know_lives(replay: Replay, value: int, hits: list[Hit]) -> None:
    """Have the index know in one pass where each address space begins and ends, as travel would by and by."""
    points: list[Point] = []
    for number, hit in enumerate({hit.space: hit for hit in hits}.values(), 1):
        await replay.seek(await replay.before(hit.position))
        points += await replay.bound_here([Watchpoint(-number, value + 8 * number, 8)])
    async with aclosing(replay.scan(points, START, replay.timeline.end)) as found:
        async for _ in found:
            pass


def _busiest(hits: list[Hit], length: int) -> int:
    """Where to begin to meet most address spaces, and then most writes, in so many instructions."""

    def met(first: int) -> list[Hit]:
        return [hit for hit in hits if 0 <= hit.position.icount - first < length - LEAD]

    starts = [hit.position.icount for hit in hits]
    return max(starts, key=lambda first: (len({hit.space for hit in met(first)}), len(met(first)))) - LEAD


@dataclass(frozen=True)
class Places:
    """Where the stretches begin that are stepped through."""

    rounds: Position
    forking: Position
    mapping: Position
    dropping: Position
    frames: dict[str, int]
    """The physical place behind the watched one after its first write in a stretch, where that is watched, too."""


async def _frames(replay: Replay, found: list[Hit], value: int, forking: Position, mapping: Position) -> dict[str, int]:
    """What is behind the address once it was written to: copied before, in a child, and cleared, where it is mapped."""
    frames = {}
    for name, address, start in (("forking", value, forking), ("mapping", MAPPED, mapping)):
        hit = next(hit for hit in found if hit.point.address == address and hit.position > start)
        await replay.seek(hit.position)
        frame = await physical_here(await replay.machine(), address)
        assert frame is not None
        frames[name] = frame
    return frames


async def _first(replay: Replay, point: Point) -> Position:
    async with aclosing(replay.scan([point], START, replay.timeline.end)) as hits:
        async for hit in hits:
            return hit.position
    raise AssertionError("it is not met")


@pytest.fixture(scope="module")
def places(recording: Path, processes: Processes) -> Places:
    """Found by watchpoints, to begin somewhere; which leaves snapshots on the way."""

    async def find() -> Places:
        value = symbol(processes.elf, "value").address
        async with await Replay.open(recording) as replay:
            end = replay.timeline.end
            child = Breakpoint(-3, symbol(processes.elf, "mark_child").address)
            drop = Breakpoint(-5, symbol(processes.elf, "mark_dropped" if PRESSED else "mark_drop").address)
            points: list[Point] = [
                Watchpoint(-1, value, 8), Watchpoint(-2, MAPPED, 8), child, Watchpoint(-4, DISK, 8), drop,
            ]  # fmt: skip
            # What comes before has none of these processes, and searching it takes longer than all the rest.
            begun = await _first(replay, Breakpoint(-6, symbol(processes.elf, "mark_round").address))
            async with aclosing(replay.scan(points, Position(replay.timeline.landing_before(begun)), end)) as hits:
                found = [hit async for hit in hits]
            written = [hit for hit in found if hit.point.number == -1]
            rounds = _busiest(written, STEPS["rounds"])
            forking = next(hit for hit in found if isinstance(hit.point, Breakpoint)).position.icount - 10 * LEAD
            mapping = _busiest([hit for hit in found if hit.point.number == -2], STEPS["mapping"])
            if PRESSED or EXAMPLES > 100:
                dropped = [hit for hit in found if hit.point.number == -5][-1 if PRESSED else 0]
                dropping = dropped.position.icount - (PRESSING if PRESSED else LEAD)
            else:
                # Its process is entered 5,300 instructions before that write, and the page mapped 3,300 before it.
                mapped = [hit for hit in found if hit.point.number == -4][3]
                dropping = mapped.position.icount - 20 * LEAD
            wanted = (rounds, forking, mapping, dropping)
            starts = [Position(replay.timeline.landing_before(Position(here))) for here in wanted]
            for start in starts:
                await replay.seek(start)
                await replay.snapshot()
            await _know_lives(replay, value, found)
            frames = await _frames(replay, found, value, starts[1], starts[2])
            return Places(starts[0], starts[1], starts[2], starts[3], frames)

    return asyncio.run(find())


@pytest.fixture(scope="module", params=["rounds", "forking", "mapping", "dropping"])
def truth(request: pytest.FixtureRequest, recording: Path, places: Places, processes: Processes) -> Truth:
    value = symbol(processes.elf, "value").address
    address = {"mapping": MAPPED, "dropping": DISK}.get(request.param, value)
    steps = LONGER * STEPS[request.param]
    frame = places.frames.get(request.param)
    moments = asyncio.run(observe(recording, getattr(places, request.param), steps, {address: 8}, frame))
    return Truth(moments, address, _readers(processes.elf), frame)


def _readers(elf: Path) -> set[int]:
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", str(elf)], capture_output=True, text=True, check=True
    ).stdout
    lines = re.findall(r"^ +([0-9a-f]+):\s+mov +0x[0-9a-f]+\(%rip\),.* <value>$", text, re.MULTILINE)
    assert len(lines) >= 5
    return {int(line, 16) for line in lines}


@asynccontextmanager
async def _forward(root: Path, place: Position) -> AsyncIterator[tuple[Machine, Position, Position]]:
    with Recording.open(root) as opened:
        launcher = await Launcher.create(opened)
        timeline = load_timeline(opened)
        first = timeline.landing_before(place)
        snapshot = timeline.nearest(first)
        assert snapshot
        walker, _ = await launcher.start(snapshot, timeline)
        try:
            await walker.run_to(first)
            yield walker.machine, Position(first), timeline.end
        finally:
            await walker.machine.close()
            await launcher.close()


async def observe(
    root: Path, place: Position, steps: int, watched: dict[int, int], frame: int | None = None
) -> list[Moment]:
    """Single-step from ``place`` on, no point set; eight bytes of a physical ``frame`` are watched, too."""
    async with _forward(root, place) as (machine, position, end):
        moments = [await _moment(machine, position, watched, frame)]
        while len(moments) <= steps and position < end:
            await machine.step(end.icount)
            icount = await machine.icount()
            position = Position(icount, position.phase + 1 if icount == position.icount else 0)
            moments.append(await _moment(machine, position, watched, frame))
        return moments


async def _moment(machine: Machine, position: Position, watched: dict[int, int], frame: int | None) -> Moment:
    registers = await machine.registers()
    values: dict[int, bytes | None] = {}
    for address, length in watched.items():
        try:
            values[address] = await machine.read_memory(address, length)
        except RspError:
            values[address] = None
    behind = await machine.read_physical(frame, 8) if frame is not None else b""
    return Moment(position, registers["cr3"] & ~_PAIR, registers["rip"], values, behind)


@pytest.fixture(scope="module")
def copies(recording: Path, places: Places, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    assert places, "it has laid the snapshots"
    folder = tmp_path_factory.mktemp("copies")
    return {way: _copy(recording, folder / way) for way in (*WAYS, "lives")}


def _copy(recording: Path, target: Path) -> Path:
    return Path(shutil.copytree(recording, target))


@pytest.fixture
def loop() -> Iterator[Run[Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


class OneQemu(Launcher):
    """Starts machines as if there were one QEMU: a start ends the machine before."""

    single = True

    async def start(self, *words: Any, **options: Any) -> tuple[Walker, float]:
        for known in list(self.running):
            await known.walker.machine.close()
        return await super().start(*words, **options)


@pytest.fixture
def replays(copies: dict[str, Path], loop: Run[Any]) -> Iterator[dict[str, Replay]]:
    """One for each way in which hits are found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "LEAST_SECONDS", 0.0)
        patch.setattr(segments, "PER_JOB", 100)
        # As if stops were so slow, and stretches so long, that asking the plugin were always worth it.
        patch.setattr(backward, "MANY", 2)
        patch.setattr(backward, "SHORT", 20)
        patch.setattr(backward, "_START_SECONDS", -1.0)
        patch.setattr(backward, "_SLOWER", -1.0)
        opened: dict[str, Replay] = {}
        try:
            for way in WAYS:
                copy = copies[way]
                executor = LocalExecutor(2) if way == "parallel" else None
                with pytest.MonkeyPatch.context() as single:
                    if way == "single":
                        single.setattr("rrdbg.engine.replay.Launcher", OneQemu)
                    opened[way] = loop(Replay.open(copy, executor=executor))
                if way != "accelerator":
                    # It is used for physical memory alone.
                    patch.setattr(opened[way].accelerator, "near_last", _nowhere)
            yield opened
        finally:
            for replay in opened.values():
                loop(replay.close())


async def _nowhere(*_: object) -> None:
    """Knows nothing of the last hits."""


@dataclass(frozen=True)
class Question:
    """What is asked, by which way, with the cursor at moment ``here``, about moments ``low`` to ``high``."""

    kind: str
    way: str
    here: int
    low: int
    high: int


@st.composite
def _questions(draw: st.DrawFn) -> tuple[str, str, int, int, int]:
    number = st.integers(0, 1_000_000)
    return draw(st.sampled_from(sorted(KINDS))), draw(st.sampled_from(WAYS)), draw(number), draw(number), draw(number)


def _chosen(truth: Truth, drawn: tuple[str, str, int, int, int]) -> Question:
    kind, way, here, low, high = drawn
    count = len(truth.moments)
    moments = [i for i in range(count) if truth.moments[i].root in truth.roots]
    if kind in ("last", "reverse-continue", "window", "origin"):
        firsts = {root: min(w.index for w in truth.writes(truth.value) if w.root == root) for root in truth.roots}
        moments = [i for i in moments if i > firsts[truth.moments[i].root]]
        if kind == "origin":  # of a value, which there must be
            moments = [i for i in moments if truth.moments[i].values[truth.value] is not None]
    elif kind in ("continue", "first"):
        lasts = {root: max(w.index for w in truth.writes(truth.value) if w.root == root) for root in truth.roots}
        moments = [i for i in moments if i <= lasts[truth.moments[i].root]]
    low, high = sorted((low % count, high % count))
    return Question(kind, way, moments[here % len(moments)], low, max(high, low + 1) if low + 1 < count else high)


class Comparison:
    """One question, and what the truth says."""

    def __init__(self, replay: Replay, truth: Truth, question: Question) -> None:
        self.replay = replay
        self.truth = truth
        self.question = question
        self.here = truth.moments[question.here]

    def of(self, accesses: list[Access]) -> tuple[list[Access], list[Access]]:
        """Those in the address space at the cursor, and the others."""
        ours = [access for access in accesses if access.root == self.here.root]
        return ours, [access for access in accesses if access.root != self.here.root]

    @property
    def stretch(self) -> tuple[Position, Position]:
        moments = self.truth.moments
        return moments[self.question.low].position, moments[self.question.high].position

    def inside(self) -> list[Access]:
        """The writes in the stretch that is asked about."""
        low, high = self.question.low, self.question.high
        return [access for access in self.truth.writes(self.truth.value) if low <= access.index < high]

    async def point(self, kind: WatchKind = WatchKind.WRITE) -> Watchpoint:
        (point,) = await self.replay.bound_here([Watchpoint(-1, self.truth.value, 8, kind)])
        assert point.space
        assert point.space.root == self.here.root
        return point

    def hit(self, access: Access) -> tuple[Position, int, bytes, bytes]:
        after = self.truth.moments[access.index + 1]
        return after.position, after.pc, access.before, access.after

    async def at(self, index: int) -> None:
        """The cursor is at a moment, and the guest is as it was there."""
        moment = self.truth.moments[index]
        assert self.replay.position == moment.position
        assert await self.replay.pc() == moment.pc
        assert await self.replay.read_memory(self.truth.value, 8) == moment.values[self.truth.value]

    async def last(self) -> None:
        ours, others = self.of([w for w in self.truth.writes(self.truth.value) if w.index < self.question.here])
        found = await self.replay.last_before(self.here.position, [await self.point()])
        assert found
        assert found[0] == self.truth.moments[ours[-1].index].position
        assert _seen(found[1]) == self.hit(ours[-1])
        assert await self.replay.elsewhere() == sum(other.index > ours[-1].index for other in others)

    async def first(self) -> None:
        ours, _ = self.of([w for w in self.truth.writes(self.truth.value) if w.index >= self.question.here])
        async with aclosing(
            self.replay.scan([await self.point()], self.here.position, self.replay.timeline.end)
        ) as hits:
            assert _seen(await anext(hits)) == self.hit(ours[0])

    async def writes(self) -> None:
        ours, others = self.of(self.inside())
        async with aclosing(self.replay.scan([await self.point()], *self.stretch)) as hits:
            assert [_seen(hit) async for hit in hits] == [self.hit(access) for access in ours]
        assert await self.replay.elsewhere() == len(others)

    async def everywhere(self) -> None:
        async with aclosing(self.replay.scan([await self.point()], *self.stretch, foreign=True)) as hits:
            found = [(*_seen(hit), hit.foreign) async for hit in hits]
        assert found == [(*self.hit(access), access.root != self.here.root) for access in self.inside()]

    async def reads(self) -> None:
        if self.truth.value in (MAPPED, DISK):
            return await self.writes()
        low, high = self.question.low, self.question.high
        reads = [i for i in self.truth.reads() if low <= i < high]
        point = await self.point(WatchKind.READ)
        async with aclosing(self.replay.scan([point], *self.stretch)) as hits:
            found = [hit.position async for hit in hits]
        ours = [i for i in reads if self.truth.moments[i].root == self.here.root]
        assert found == [self.truth.moments[i + 1].position for i in ours]
        assert await self.replay.elsewhere() == len(reads) - len(ours)
        return None

    async def executed(self) -> None:
        """Breakpoints, in the cursor's address space alone."""
        low, high = self.question.low, self.question.high
        users = [i for i in range(low, high) if self.truth.moments[i].pc < MAPPED]
        pc = self.truth.moments[users[len(users) // 2] if users else low].pc
        point = Breakpoint(-1, pc, await self.replay.space_of(pc))
        async with aclosing(self.replay.scan([point], *self.stretch)) as hits:
            found = [hit.position async for hit in hits if hit.exact or point.space]
        ours = [
            i for i in self.truth.executed(pc)
            if low <= i < high and (point.space is None or self.truth.moments[i].root == self.here.root)
        ]  # fmt: skip
        assert [place.icount for place in found] == [self.truth.moments[i].position.icount for i in ours]

    async def reverse_cont(self) -> None:
        ours, _ = self.of([w for w in self.truth.writes(self.truth.value) if w.index < self.question.here])
        self.replay.points.add_watchpoint(self.truth.value, 8)
        stop = await self.replay.reverse_cont()
        assert stop.reason is StopReason.WATCHPOINT
        assert _seen(stop.hits[0]) == self.hit(ours[-1])
        await self.at(ours[-1].index)

    async def window(self) -> None:
        """As a client of the server, or the shell with a GDB, goes back: step by step, and to the last change."""
        ours, _ = self.of([w for w in self.truth.writes(self.truth.value) if w.index < self.question.here])
        window = Window(self.replay)
        reason, hits = await window.reverse_cont([Watchpoint(-1, self.truth.value, 8)])
        assert reason is StopReason.WATCHPOINT
        assert _seen(hits[0]) == self.hit(ours[-1])
        await self.at(ours[-1].index)

    async def cont(self) -> None:
        ours, _ = self.of([w for w in self.truth.writes(self.truth.value) if w.index >= self.question.here])
        self.replay.points.add_watchpoint(self.truth.value, 8)
        stop = await self.replay.cont()
        assert stop.reason is StopReason.WATCHPOINT
        assert _seen(stop.hits[0]) == self.hit(ours[0])
        await self.at(ours[0].index + 1)

    async def origin(self) -> None:
        """The first hop back from the value is its last write."""
        ours, _ = self.of([w for w in self.truth.writes(self.truth.value) if w.index < self.question.here])
        async with aclosing(origin(self.replay, MemoryPlace(self.truth.value, 8))) as hops:
            hop = await anext(hops)
        assert hop.position == self.truth.moments[ours[-1].index].position
        assert hop.value == ours[-1].after
        assert hop.pc == self.truth.moments[ours[-1].index].pc

    async def physical(self) -> None:
        """Writes to the memory behind the address, by whatever address."""
        if self.truth.physical is None:
            return await self.writes()
        low, high = self.question.low, self.question.high
        expected = [access for access in self.truth.physical_writes() if low <= access.index < high]
        async with aclosing(self.replay.scan([self._place()], *self.stretch)) as hits:
            found = [(*_seen(hit), hit.unwritten) async for hit in hits]
        assert found == [(*self.hit(access), None) for access in expected]
        return None

    async def physical_back(self) -> None:
        """The last of them before the cursor, as a movement."""
        before = (
            [w for w in self.truth.physical_writes() if w.index < self.question.here] if self.truth.physical else []
        )
        if not before:
            return await self.physical()
        assert self.truth.physical is not None
        self.replay.points.add_physical(PhysicalPlace(self.truth.physical, 8))
        stop = await self.replay.reverse_cont()
        assert _seen(stop.hits[0]) == self.hit(before[-1])
        await self.at(before[-1].index)
        return None

    async def physical_on(self) -> None:
        """The first of them ahead of it."""
        after = (
            [w for w in self.truth.physical_writes() if w.index >= self.question.here] if self.truth.physical else []
        )
        if not after:
            return await self.physical()
        assert self.truth.physical is not None
        self.replay.points.add_physical(PhysicalPlace(self.truth.physical, 8))
        stop = await self.replay.cont()
        assert _seen(stop.hits[0]) == self.hit(after[0])
        await self.at(after[0].index + 1)
        return None

    def _place(self) -> Watchpoint:
        assert self.truth.physical is not None
        return Watchpoint.on_physical(-1, PhysicalPlace(self.truth.physical, 8))

    async def bisect_scan(self) -> None:
        """Each change of a predicate that ``value`` is or is not what it is at some place."""
        low, here = self.question.low, self.question.here
        if low >= here:
            return await self.writes()
        ours, _ = self.of([w for w in self.truth.writes(self.truth.value) if low <= w.index < here])
        wanted = ours[len(ours) // 2].after if ours else b"\0" * 8
        test = MemoryTest(hex(self.truth.value), 8, wanted, equal=True, number=False)
        start = self.truth.moments[low]
        value = start.values[self.truth.value] if start.root == self.here.root else ours[0].before if ours else None
        expected = []
        for access in ours:
            if access.after != value:
                expected.append((self.hit(access)[0], access.after == wanted))
            value = access.after
        formula = FormulaPredicate(MemoryFormula(self.truth.value, test))
        async with aclosing(changes(self.replay, formula, start.position, self.here.position)) as found:
            seen = [(change.position, change.now.verdict is Verdict.BAD) async for change in found]
        assert seen == expected
        return None


def _seen(hit: Hit) -> tuple[Position, int, bytes, bytes]:
    assert hit.change
    return hit.position, hit.pc, hit.change.before, hit.change.after


KINDS: dict[str, Callable[[Comparison], Awaitable[None]]] = {
    "last": Comparison.last,
    "first": Comparison.first,
    "writes": Comparison.writes,
    "everywhere": Comparison.everywhere,
    "reads": Comparison.reads,
    "executed": Comparison.executed,
    "reverse-continue": Comparison.reverse_cont,
    "window": Comparison.window,
    "continue": Comparison.cont,
    "bisect --scan": Comparison.bisect_scan,
    "origin": Comparison.origin,
    "physical": Comparison.physical,
    "physical reverse-continue": Comparison.physical_back,
    "physical continue": Comparison.physical_on,
}


async def _compare(replay: Replay, truth: Truth, question: Question) -> None:
    replay.points.delete()
    replay.spaces.forget()
    if question.way != "index":
        replay.hits.forget(truth.value)
    await replay.seek(truth.moments[question.here].position)
    await KINDS[question.kind](Comparison(replay, truth, question))


def test_the_stretches_are_worth_it(truth: Truth) -> None:
    """Several processes write to the same address, and what is mapped there changes in other ways, too."""
    writes = truth.writes(truth.value)
    assert len(writes) >= 2
    if len(truth.roots) > 1 or truth.value in (MAPPED, DISK):
        steps = zip(truth.moments, truth.moments[1:], strict=False)
        differing = sum(one.values[truth.value] != other.values[truth.value] for one, other in steps)
        assert differing > len(writes), "an address space was entered, or a page was mapped, in between"
    if PRESSED and truth.value == DISK:
        back = next(moment for moment in truth.moments if moment.values[DISK] is not None)
        gone = [moment for moment in truth.moments if moment.root == back.root and moment.position < back.position]
        assert gone, "it was not there, in the address space that it came back to"
        assert back.values[DISK] != bytes(8), "with what was written to it before"


async def test_a_root_that_is_used_again_is_another_address_space(
    copies: dict[str, Path], processes: Processes
) -> None:
    """In one life of an address space each write to ``value`` finds what the one before has left."""
    value = Watchpoint(-1, symbol(processes.elf, "value").address, 8)
    async with await Replay.open(copies["lives"]) as replay:
        end = replay.timeline.end
        async with aclosing(replay.scan([value], START, end)) as hits:
            found = [hit async for hit in hits]
        # A program that is loaded has 7 there, and a child what its parent has: what nobody left tells of a new life.
        roots = {hit.space for hit in found}
        again = [root for root in roots if _breaks([hit for hit in found if hit.space == root])]
        assert again, "Linux uses pages of page tables again soon"
        root = again[0]
        own = [_seen(hit) for hit in found if hit.space == root]
        lives: list[list[tuple[Position, int, bytes, bytes]]] = []
        for hit in (hit for hit in found if hit.space == root):
            if any(_seen(hit) in life for life in lives):
                continue
            await replay.seek(await replay.before(hit.position))
            (point,) = await replay.bound_here([value])
            async with aclosing(replay.scan([point], START, end)) as hits:
                life = [_seen(each) async for each in hits]
            assert _seen(hit) in life
            assert all(one[3] == other[2] for one, other in itertools.pairwise(life))
            lives.append(life)
        assert len(lives) >= 2
        assert sorted(each for life in lives for each in life) == own


def _breaks(hits: list[Hit]) -> bool:
    return any(_seen(one)[3] != _seen(other)[2] for one, other in itertools.pairwise(hits))


@seed(SEED)
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(drawn=_questions())
def test_every_way_says_what_single_steps_say(
    truth: Truth, replays: dict[str, Replay], loop: Run[Any], drawn: tuple[str, str, int, int, int]
) -> None:
    question = _chosen(truth, drawn)
    try:
        loop(_compare(replays[question.way], truth, question))
    except (AssertionError, RrdbgError) as error:
        raise AssertionError(f"RRDBG_SEED={SEED}, {question}: {error}") from error
