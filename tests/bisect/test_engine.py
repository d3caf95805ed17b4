"""Bisecting and scanning on a real recording: where single steps say that it turns true, and nowhere else."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from rrdbg.engine.queries.bisect import Bisector
from rrdbg.engine.queries.changes import Change, changes
from rrdbg.engine.queries.predicates import ConsolePredicate, FormulaPredicate, Predicate
from rrdbg.engine.replay import Replay
from rrdbg.errors import OutOfRange, Undecided
from rrdbg.model.hits.bisection import Bisection, Judgement, Probe, Verdict
from rrdbg.model.hits.predicate import ByteOrder, MemoryTest, Question
from rrdbg.model.program.agent import NeedMemory, NeedRegister
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.history import Console
from tests.guests.build import symbol
from tests.oracle import Oracle, observe

NOWHERE = 0x7FFF_FFFF_0000


def verdict(holds: object) -> Verdict:
    return Verdict.BAD if holds else Verdict.GOOD


@dataclass(frozen=True)
class Counter:
    """Asks what ``holds`` says of the counter."""

    address: int
    holds: Callable[[int], object]

    def ask(self, order: ByteOrder) -> Question:
        raw = yield NeedMemory(self.address, 8)
        assert isinstance(raw, bytes)
        value = int.from_bytes(raw, order)
        return Judgement(verdict(self.holds(value)), str(value))


@dataclass(frozen=True)
class RingIfOdd:
    """Reads other memory when the counter has changed: ``ring[0]`` where it is odd."""

    counter: int
    ring: int

    def ask(self, order: ByteOrder) -> Question:
        raw = yield NeedMemory(self.counter, 8)
        assert isinstance(raw, bytes)
        if raw[0] % 2 == 0:
            return Judgement(Verdict.GOOD, "even")
        raw = yield NeedMemory(self.ring, 8)
        assert isinstance(raw, bytes)
        return Judgement(Verdict.BAD, raw.hex())


class StackIsLow:
    """Reads a register."""

    def ask(self, order: ByteOrder) -> Question:
        value = yield NeedRegister(7)  # rsp
        assert isinstance(value, int)
        return Judgement(verdict(value % 32 < 16), hex(value))


class Told:
    """A slow predicate that a function of the position decides."""

    quick = False
    offline = False

    def __init__(self, decide: Callable[[Position], Verdict], *, wanders: bool = False) -> None:
        self.decide = decide
        self.wanders = wanders
        self.asked: list[Position] = []

    async def judge(self, replay: Replay) -> Judgement:
        here = replay.position
        self.asked.append(here)
        if self.wanders:
            await replay.stepi(3)
        return Judgement(self.decide(here), "told")


@pytest.fixture
async def replay(workload: Path, tmp_path: Path, even: None) -> AsyncIterator[Replay]:
    """A copy of the recording of workload, opened."""
    async with await Replay.open(Path(shutil.copytree(workload, tmp_path / "workload")), spacing=0.02) as opened:
        yield opened


@pytest.fixture(scope="session")
def counter(workload_guest: Path) -> int:
    return symbol(workload_guest, "counter").address


@pytest.fixture
def oracle(request: pytest.FixtureRequest) -> Oracle:
    """The stretch that the parameter names."""
    found: Oracle = request.getfixturevalue(request.param)
    return found


def whole(replay: Replay) -> Bisection:
    return Bisection.between(START, replay.timeline.end)


@pytest.mark.parametrize("seed", range(2))
async def test_the_first_position_is_the_one_that_single_steps_show(
    replay: Replay, workload: Path, counter: int, seed: int
) -> None:
    value = Random(seed).randrange(2, 2300)
    turn = await Bisector(replay, FormulaPredicate(Counter(counter, lambda at: at >= value)), whole(replay)).run()
    near = await observe(workload, turn.position.icount - 3, 6, {counter: 8})
    first = next(entry for entry in near.entries if int.from_bytes(entry.memory[counter], "little") >= value)
    assert turn.position == first.position
    assert turn.before == near[near.index(first.position) - 1].position
    assert (turn.old, turn.new) == (str(value - 1), str(value))
    assert len(replay.timeline.snapshots) > 1, "what was passed on the way is kept"


async def test_a_slow_predicate_is_asked_down_to_the_phase(replay: Replay, busy: Oracle) -> None:
    phased = [at for at, entry in enumerate(busy.entries) if entry.position.phase]
    for at in (phased[0], phased[0] + 1):
        first = busy[at].position
        told = Told(lambda here, first=first: verdict(here >= first), wanders=True)  # type: ignore[misc]
        ends = Bisection.between(busy[0].position, busy[len(busy) - 1].position)
        turn = await Bisector(replay, told, ends, checks=0).run()
        assert (turn.before, turn.position) == (busy[at - 1].position, first)
        assert turn.probes == len(told.asked) <= 20
        assert set(told.asked) <= {entry.position for entry in busy.entries}


async def test_what_is_skipped_is_told(replay: Replay, busy: Oracle) -> None:
    first, dark = busy[1500].position, {entry.position for entry in busy.entries[1495:1500]}
    told = Told(lambda here: Verdict.SKIP if here in dark else verdict(here >= first))
    ends = Bisection.between(busy[0].position, busy[len(busy) - 1].position)
    turn = await Bisector(replay, told, ends, checks=0).run()
    assert (turn.before, turn.position, turn.skipped) == (busy[1494].position, first, 5)


async def test_a_dark_recording_is_given_up(replay: Replay) -> None:
    end = replay.timeline.end
    told = Told(lambda here: verdict(here == end) if here in (START, end) else Verdict.SKIP)
    with pytest.raises(Undecided, match="32 positions were skipped"):
        await Bisector(replay, told, whole(replay)).run()


async def test_it_says_when_it_is_not_monotonic(replay: Replay, counter: int) -> None:
    for holds, message in (
        (lambda value: value < 2000, "At 0, the good end, the predicate holds already"),
        (lambda value: value > 5000, "the bad end, the predicate does not hold"),
    ):
        with pytest.raises(Undecided, match=message):
            await Bisector(replay, FormulaPredicate(Counter(counter, holds)), whole(replay)).run()


async def test_it_looks_whether_it_was_true_before(replay: Replay) -> None:
    end = replay.timeline.end

    def twice() -> Told:
        """It holds in the end, and halfway to where halving begins, which is at a snapshot behind the first quarter."""

        def decide(here: Position) -> Verdict:
            first = next((place.icount for place in told.asked if START < place < end), end.icount)
            return verdict(0.3 * first < here.icount < 0.7 * first or here.percent(end) > 99)

        told = Told(decide)
        return told

    with pytest.raises(Undecided, match="not monotonic: it holds at"):
        await Bisector(replay, twice(), whole(replay)).run()
    assert (await Bisector(replay, twice(), whole(replay), checks=0).run()).position.percent(end) > 99


async def test_it_goes_on_from_what_is_known(replay: Replay, busy: Oracle) -> None:
    first = busy[1234].position
    ends = Bisection.between(busy[0].position, busy[len(busy) - 1].position)
    probes: list[Probe] = []
    told = Told(lambda here: verdict(here >= first))
    turn = await Bisector(replay, told, ends, on_probe=lambda probe, left: probes.append(probe)).run()
    again = Told(told.decide)
    resumed = await Bisector(replay, again, ends, probes[:7]).run()
    assert (resumed.position, resumed.new) == (turn.position, "told")
    assert not set(again.asked) & {probe.position for probe in probes[:7]}
    assert (await Bisector(replay, Told(told.decide), ends, probes).run()).probes == 0
    with pytest.raises(Undecided, match="no longer at"):
        await Bisector(replay, again, ends, [*probes, Probe(busy[2000].position, Verdict.GOOD)]).run()


async def test_a_console_needs_no_guest(replay: Replay, workload: Path) -> None:
    console = Console.read(replay.recording.layout.log, replay.recording.layout.console)
    turn = await Bisector(replay, ConsolePredicate(console, "counter=1000"), whole(replay)).run()
    written = console.size_at(turn.position)
    assert console.text[:written].endswith(b"counter=1000")
    assert console.size_at(turn.before) == written - 1
    with pytest.raises(OutOfRange, match="never prints 'nonsense'"):
        ConsolePredicate(console, "nonsense")


async def test_what_is_not_mapped_does_not_hold(replay: Replay) -> None:
    unmapped = FormulaPredicate(MemoryTest.read("0:1!=00").at(NOWHERE))
    with pytest.raises(Undecided, match="<not mapped>"):
        await Bisector(replay, unmapped, whole(replay)).run()


async def listed(replay: Replay, predicate: Predicate, start: Position, end: Position) -> list[Change]:
    async with aclosing(changes(replay, predicate, start, end)) as found:
        return [change async for change in found]


@pytest.mark.parametrize("oracle", ["busy", "exceptional", "ending"], indirect=True)
async def test_a_scan_finds_every_change(replay: Replay, counter: int, watched: dict[int, int], oracle: Oracle) -> None:
    (ring,) = set(watched) - {counter}
    for formula in (Counter(counter, lambda value: value % 2), RingIfOdd(counter, ring)):

        def value(at: int, formula: Counter | RingIfOdd = formula) -> str:
            question = formula.ask("little")
            need = next(question)
            try:
                while isinstance(need, NeedMemory):
                    need = question.send(oracle[at].memory[need.address])
            except StopIteration as result:
                return str(result.value.value)
            raise AssertionError("nothing else is asked for")

        values = [value(at) for at in range(len(oracle))]
        expected = [
            (oracle[at + 1].position, old, new)
            for at, (old, new) in enumerate(itertools.pairwise(values))
            if old != new
        ]
        found = await listed(replay, FormulaPredicate(formula), oracle[0].position, oracle[len(oracle) - 1].position)
        assert [(change.position, change.before.value, change.now.value) for change in found] == expected


async def test_a_scan_of_registers_steps(replay: Replay, busy: Oracle) -> None:
    stacks = [busy.registers(at)["rsp"] for at in range(len(busy))]
    changed = [at for at, (old, new) in enumerate(itertools.pairwise(stacks), 1) if old != new]
    # What the guest does in the oracle's stretch is up to its recording: some of its loops leave the stack alone.
    low = max(range(len(busy) - 300), key=lambda at: sum(at < each <= at + 300 for each in changed))
    found = await listed(replay, FormulaPredicate(StackIsLow()), busy[low].position, busy[low + 300].position)
    expected = [busy[at].position for at in changed if low < at <= low + 300]
    assert [change.position for change in found] == expected
    assert expected
