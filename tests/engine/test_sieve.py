"""Conditions that the plugin judges inside QEMU select the hits that the stub selects, wherever they are searched."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrdbg.engine.queries.evaluate import evaluate
from rrdbg.engine.replay import Replay
from rrdbg.engine.search import sieve
from rrdbg.engine.search.parallel.local import LocalExecutor
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import RspError
from rrdbg.links.machine import Machine
from rrdbg.links.tally import KEPT
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint, Hit
from rrdbg.model.program.agent import BadExpression, Expression, NeedMemory, NeedRegister
from rrdbg.model.timeline.position import START, Position
from rrdbg.model.travel import segments
from tests.engine.conftest import Run
from tests.engine.test_occurrences import few
from tests.engine.test_oracle import EXAMPLES, indices
from tests.oracle import Oracle


@dataclass
class Judge:
    """A judge by conditions, which counts how often the stub has asked it."""

    conditions: dict[int, Condition]
    asked: int = field(default=0)

    def condition(self, point: Breakpoint) -> Condition:
        return self.conditions[point.address]

    async def __call__(self, machine: Machine, point: Breakpoint) -> bool:
        self.asked += 1
        packet = await machine.register_packet()
        for code in self.conditions[point.address].alternatives:
            try:
                if await evaluate(code, machine, packet):
                    return True
            except (BadExpression, RspError):
                if self.conditions[point.address].unclear:
                    return True
        return not self.conditions[point.address].alternatives


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the plugin at once."""
    monkeypatch.setattr(sieve, "FEW", 1)


def can_judge(replay: Replay) -> bool:
    """Whether this QEMU's plugins can read registers and memory; known when one was looked for."""
    plugin = replay.accelerator._plugin
    return plugin is not None and plugin.api >= 4


def is_true(condition: Condition, oracle: Oracle, index: int) -> bool:
    """What Python says where a single-stepper has stood; the codes read registers and words of known variables."""
    entry = oracle[index]
    run = condition.alternatives[0].evaluate("little")
    try:
        need: NeedRegister | NeedMemory = next(run)
        while True:
            if isinstance(need, NeedRegister):
                digits = oracle.layout.digits(entry.packet, need.number)
                assert digits is not None
                need = run.send(int.from_bytes(bytes.fromhex(digits.decode()), "little"))
            elif need.address in entry.memory:
                need = run.send(entry.memory[need.address][: need.length])
            else:
                return condition.unclear
    except StopIteration as result:
        return bool(result.value)


def number_of(oracle: Oracle, name: str) -> int:
    return list(oracle.layout.registers).index(name)


def code(oracle: Oracle, register: str, mask: int, wanted: int) -> Expression:
    """``(REGISTER & mask) == wanted``."""
    number = number_of(oracle, register).to_bytes(2, "big")
    return Expression(
        b"\x26" + number + b"\x25" + mask.to_bytes(8, "big") + b"\x0f\x25" + wanted.to_bytes(8, "big") + b"\x13\x27"
    )


def memory_code(address: int, mask: int, wanted: int) -> Expression:
    return Expression(
        b"\x25" + address.to_bytes(8, "big") + b"\x1a\x25" + mask.to_bytes(8, "big")
        + b"\x0f\x25" + wanted.to_bytes(8, "big") + b"\x13\x27"
    )  # fmt: skip


GENERAL = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r12", "r15", "cr3", "cs", "cr0", "efer"]


def conditions_of(oracle: Oracle, seed: int, watched: dict[int, int]) -> dict[int, Condition]:
    """A condition for each instruction, true at about half of its executions."""
    chosen = random.Random(seed)
    found = {}
    for index in range(len(oracle) - 1):
        entry = oracle[index]
        if entry.pc in found and chosen.random() < 0.9:
            continue
        mask = chosen.choice([1, 3, 0xFF, (1 << 64) - 1, 1 << 63])
        if chosen.random() < 0.3:
            address = chosen.choice([*watched, 0xDEADBEEF0000])
            value = int.from_bytes(entry.memory.get(address, b""), "little")
            program = memory_code(address, mask, value & mask)
        else:
            register = chosen.choice(GENERAL)
            program = code(oracle, register, mask, oracle.registers(index)[register] & mask)
        found[entry.pc] = Condition((program,), unclear=chosen.random() < 0.5)
    return found


@pytest.mark.parametrize("name", ["busy", "exceptional", "idling"])
def test_the_plugin_judges_at_every_instruction(
    request: pytest.FixtureRequest, run: Run[Any], replay: Replay, watched: dict[int, int], name: str
) -> None:
    oracle: Oracle = request.getfixturevalue(name)
    start, end = oracle[0].position, oracle[len(oracle) - 1].position

    async def check(seed: int) -> None:
        conditions = conditions_of(oracle, seed, watched)
        points = [Breakpoint(-1 - number, address) for number, address in enumerate(conditions)]
        judge = Judge(conditions)
        made = sieve.Sieve.of(replay.accelerator, replay.timeline, replay._cursor.start_at, points, judge)
        assert made is not None
        if not await made.can_judge(oracle.layout):
            assert not can_judge(replay)
            return
        survey = await replay.accelerator.survey(
            replay.timeline, replay.timeline.landing_before(start), points, made._judging
        )
        assert isinstance(survey, Survey)
        try:
            await survey.arrive(start)
            before = survey.tally(0).hits
            await survey.arrive(end)
            tally = survey.tally()
        finally:
            await survey.close()
        expected = [i for i in oracle.hits(*conditions) if is_true(conditions[oracle[i].pc], oracle, i)]
        seen = tally.latest[before - tally.hits :]
        assert [sighting.pc for sighting in seen] == [oracle[i].pc for i in expected]
        assert 100 < len(expected) < len(oracle.hits(*conditions))

    run(check(1))


async def every(replay: Replay, points: list[Breakpoint], judge: Judge, start: Position, end: Position) -> list[Hit]:
    return [hit async for hit in replay.scan(points, start, end, judge)]


@settings(few, max_examples=max(EXAMPLES // 6, 2))
@given(start=indices, seed=st.integers(0, 1 << 20), many=st.integers(1, 4))
@pytest.mark.usefixtures("eager")
def test_searches_find_what_single_stepping_shows(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int], start: int, seed: int, many: int
) -> None:
    conditions = conditions_of(busy, seed, watched)
    chosen = random.Random(seed).sample(sorted(conditions), min(many, len(conditions)))
    judge = Judge({address: conditions[address] for address in chosen})
    points = [Breakpoint(-1 - number, address) for number, address in enumerate(chosen)]
    expected = [i for i in busy.hits(*chosen) if is_true(conditions[busy[i].pc], busy, i)]

    async def check() -> None:
        index = start % (len(busy) - 1)
        here, end = busy[index].position, busy[len(busy) - 1].position
        found = await every(replay, points, judge, here, end)
        assert [(hit.position.icount, hit.pc) for hit in found] == [
            (busy[i].position.icount, busy[i].pc) for i in expected if i >= index
        ]
        await replay.seek(here)
        after = [i for i in expected if i > index]
        stop = await replay.cont(points, judge)
        if after:
            assert stop.position == busy[after[0]].position
        await replay.seek(here)
        before = [i for i in expected if i < index]
        stop = await replay.reverse_cont(points, judge)
        if before:
            assert stop.position == busy[before[-1]].position
        else:
            assert stop.position < busy[0].position

    run(check())


@pytest.mark.usefixtures("eager")
def test_a_false_condition_costs_no_stop(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    hot = max((entry.pc for entry in busy.entries), key=lambda pc: len(busy.hits(pc)))
    judge = Judge({hot: Condition((code(busy, "rsp", (1 << 64) - 1, 1),))})

    start, end = busy[0].position, busy[len(busy) - 1].position

    async def check() -> None:
        assert await every(replay, [Breakpoint(-1, hot)], judge, start, end) == []
        if can_judge(replay):
            assert judge.asked < 10
            await replay.seek(replay.timeline.end)
            judge.asked = 0
            assert (await replay.reverse_cont([Breakpoint(-1, hot)], judge)).position == START
            assert judge.asked < 1000
        else:
            assert judge.asked == len(busy.hits(hot))

    run(check())


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("kept", [KEPT, 16])
def test_a_condition_that_holds_all_the_time_is_not_asked_for_each_hit(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """The last hit lies at the end; before it there are as many as there were executions.

    Where plugins read no registers each is a stop, 4 ms here, and the search is another one.
    """
    monkeypatch.setattr(sieve, "KEPT", kept)
    hot = max((entry.pc for entry in busy.entries), key=lambda pc: len(busy.hits(pc)))
    judge = Judge({hot: Condition((Expression(b"\x22\x01\x27"),))})
    last = len(busy) - 1

    async def check() -> None:
        await replay.seek(busy[last].position)
        for index in reversed(busy.hits(hot)[-3 if can_judge(replay) else -1 :]):
            judge.asked = 0
            assert (await replay.reverse_cont([Breakpoint(-1, hot)], judge)).position == busy[index].position
            assert judge.asked < 300 or not can_judge(replay)

    run(check())


@pytest.mark.usefixtures("eager")
def test_a_plugin_that_counts_wrong_is_not_believed(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot = max((entry.pc for entry in busy.entries), key=lambda pc: len(busy.hits(pc)))
    judge = Judge({hot: Condition((code(busy, "rsp", 0, 0),))})
    start, end = busy[0].position, busy[len(busy) - 1].position
    around = sieve.Sieve._around

    def wrong(*arguments: Any) -> list[sieve.Window]:
        return [sieve.Window(found.start, found.end, (found.hits or 0) + 1) for found in around(*arguments)]

    monkeypatch.setattr(sieve.Sieve, "_around", wrong)

    async def check() -> None:
        judges = can_judge(replay)
        found = await every(replay, [Breakpoint(-1, hot)], judge, start, end)
        assert [hit.position for hit in found] == [busy[i].position for i in busy.hits(hot)]
        assert not judges or "it has counted" in (await replay.accelerator.info()).text

    run(check())


@pytest.fixture
def parallel(copied: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A replay with two workers, to which the shortest segments are given, too."""
    monkeypatch.setattr(segments, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(segments, "PER_JOB", 1000)
    opened = run(Replay.open(copied, executor=LocalExecutor(2)))
    yield opened
    run(opened.close())


def test_workers_judge_as_a_single_scan(
    run: Run[Any], serial: Replay, parallel: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some hundred hits on either side of a snapshot: more than a worker looks at before it asks the plugin."""
    hot = max((entry.pc for entry in busy.entries), key=lambda pc: len(busy.hits(pc)))
    number = number_of(busy, "rdi").to_bytes(2, "big")
    judge = Judge({hot: Condition((Expression(b"\x26" + number + b"\x22\x3f\x0f\x22\x05\x13\x27"),))})
    plain = serial.timeline.deliveries.plain_at_or_before
    middle = next(
        snapshot.icount for snapshot in serial.timeline.snapshots if snapshot.icount > busy[0].position.icount
    )
    start, end = Position(plain(middle - 10_000)), Position(plain(middle + 10_000))
    monkeypatch.setattr(sieve, "FEW", 1 << 40)

    async def check() -> None:
        expected = await every(serial, [Breakpoint(-1, hot)], judge, start, end)
        asked = judge.asked
        found = await every(parallel, [Breakpoint(-1, hot)], judge, start, end)
        assert found == expected
        assert 0 < len(found) < asked / 20
        assert asked > 600
        last = await parallel.last_before(end, [Breakpoint(-1, hot)], judge)
        assert last is not None
        assert last[0] == expected[-1].position

    run(check())
