"""Writes that the plugin judges inside QEMU are those whose instructions change the bytes, and only those."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.engine.search import backward, write_sieve
from rrdbg.engine.search.write_sieve import WriteSieve
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Hit, ValueChange, Watchpoint
from rrdbg.model.timeline.deliveries import Delivery
from tests.engine.conftest import Run
from tests.engine.test_accesses import frames
from tests.engine.test_sieve import can_judge, eager  # noqa: F401
from tests.oracle import Oracle, observe

Told = list[tuple[Any, int, bytes, bytes]]


@pytest.fixture(scope="module")
def oracles(workload: Path, watched: dict[int, int], busy: Oracle, exceptional: Oracle) -> list[Oracle]:
    """Stretches of single steps with the stack watched, too: frames of an interrupt and an exception, and calls."""
    made = []
    for oracle, kind in ((busy, Delivery.INTERRUPT), (exceptional, Delivery.EXCEPTION)):
        index, slot = frames(oracle, cast(Machine, SimpleNamespace(register_file=oracle.layout)), kind)[0]
        places = {next(iter(watched)): 8, slot: 8, slot - 40: 64}
        made.append(asyncio.run(observe(workload, oracle[max(index - 200, 0)].position.icount, 400, places)))
    return made


def expected(oracle: Oracle, points: list[Watchpoint]) -> Told:
    """Each change by an instruction or a delivery: where a single step ends, and the bytes before and after it."""
    return sorted(
        (
            oracle[index + 1].position, point.number,
            oracle[index].memory[point.address], oracle[index + 1].memory[point.address],
        )
        for point in points for index in oracle.changes(point.address)
    )  # fmt: skip


def told(hits: list[Hit]) -> Told:
    return sorted((hit.position, hit.point.number, *_values(hit)) for hit in hits)


def _values(hit: Hit) -> tuple[bytes, bytes]:
    assert hit.change is not None
    return hit.change.before, hit.change.after


async def sifted(replay: Replay, made: WriteSieve, oracle: Oracle) -> tuple[list[Hit], list[Hit]]:
    """What the sieve finds on the oracle's stretch: all that it tells, and of that what counts when it was judged."""
    trail = replay._finder._trail()
    try:
        async with aclosing(made.hits(oracle[0].position, oracle[len(oracle) - 1].position, None)) as hits:
            found = [hit async for hit in hits]
        return found, [hit for met in found if (hit := await trail.judged(met))]
    finally:
        await trail.close()


def sieve_of(replay: Replay, points: list[Watchpoint]) -> WriteSieve:
    made = write_sieve.sieve_for(replay.accelerator, replay.timeline, replay._cursor.start_at, points, None)
    assert isinstance(made, WriteSieve)
    return made


def test_the_plugin_tells_what_single_steps_change(
    run: Run[Any], replay: Replay, oracles: list[Oracle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriteSieve, "stops_of_a_window", 0)  # never scan from the first to the last one

    async def check() -> None:
        for oracle in oracles:
            points = [
                Watchpoint(number, address, len(oracle[0].memory[address]))
                for number, address in enumerate(oracle[0].memory)
            ]
            made = sieve_of(replay, points)
            if not await made.can_judge(oracle.layout):
                assert not can_judge(replay)
                return
            found, judged = await sifted(replay, made, oracle)
            assert told(judged) == expected(oracle, points)
            assert len(judged) > 4
            assert (await replay.accelerator.info()).usable
            assert any(hit.judged for hit in found)

    run(check())


@pytest.mark.usefixtures("eager")
def test_searches_find_what_single_steps_change(
    run: Run[Any], replay: Replay, oracles: list[Oracle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backward, "FEW", 1)
    monkeypatch.setattr(backward, "SHORT", 10)

    async def check() -> None:
        for oracle in oracles:
            start, end = oracle[0].position, oracle[len(oracle) - 1].position
            slot, value = list(oracle[0].memory.items())[-1]
            point = Watchpoint(1, slot, len(value))
            hits = expected(oracle, [point])
            found = await replay.last_before(end, [point], None)
            assert found is not None
            assert told([found[1]]) == hits[-1:]
            assert told([hit async for hit in replay.scan([point], start, end)]) == hits

    run(check())


@pytest.mark.usefixtures("eager")
def test_a_plugin_that_tells_wrong_is_not_believed(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = WriteSieve._hit

    async def wrong(*arguments: Any) -> Hit:
        return replace(await tell(*arguments), change=ValueChange(b"?", b"!"))

    monkeypatch.setattr(WriteSieve, "_hit", wrong)
    points = [Watchpoint(number, address, 8) for number, address in enumerate(watched)]

    async def check() -> None:
        await replay.accelerator.info()
        found = [hit async for hit in replay.scan(points, busy[0].position, busy[len(busy) - 1].position)]
        assert told(found) == expected(busy, points)
        info = await replay.accelerator.info()
        assert "it has told of a write that leads to" in info.text or not can_judge(replay)

    run(check())
